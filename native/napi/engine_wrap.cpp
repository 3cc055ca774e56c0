#include "engine_wrap.h"

#include <cstdlib>

#include "../cpu/dispatch.h"
#include "addon_data.h"
#include "combine_values.h"
#include "gram_values.h"
#include "requantise_values.h"
#include "task.h"
#include "values.h"

namespace ckpt {
namespace {

[[noreturn]] void throw_isa(Napi::Env env, const std::string& why) {
  Napi::Error error = Napi::Error::New(env, why);
  error.Set("code", "E_ISA");
  throw error;
}

EngineOptions to_options(const Napi::Object& from) {
  EngineOptions options;
  options.threads = to_uint(from.Get("threads"), "threads");
  options.memory_bytes = to_uint(from.Get("memoryBytes"), "memoryBytes");
  options.max_inputs = to_uint(from.Get("maxInputs"), "maxInputs");
  options.max_outputs = to_uint(from.Get("maxOutputs"), "maxOutputs");
  options.reads = optional_bool(from, "reads", false);
  options.gathers = optional_bool(from, "gathers", false);
  options.tile_bytes = optional_uint(from, "tileBytes", 0);
  options.request_bytes = optional_uint(from, "requestBytes", 0);
  options.requests_in_flight = optional_uint(from, "requestsInFlight", 0);
  options.drop_cache = optional_bool(from, "dropCache", false);
  options.flush_behind = optional_bool(from, "flushBehind", false);
  options.read_delay_micros = optional_uint(from, "readDelayMicros", 0);
  return options;
}

Napi::Object describe(Napi::Env env, const EngineShape& shape) {
  Napi::Object object = Napi::Object::New(env);
  const auto set = [&](const char* name, std::uint64_t value) { object.Set(name, Napi::Number::New(env, static_cast<double>(value))); };
  set("threads", shape.threads);
  set("tileBytes", shape.tile_bytes);
  set("requestBytes", shape.request_bytes);
  set("requestsInFlight", shape.requests_in_flight);
  set("bufferBytes", shape.buffer_bytes);
  return object;
}

// Keeps outputs open while a call uses them.
std::vector<std::shared_ptr<OutputUse>> hold(const std::vector<std::shared_ptr<Output>>& outputs) {
  std::vector<std::shared_ptr<OutputUse>> uses;
  for (const auto& output : outputs) uses.push_back(std::make_shared<OutputUse>(output));
  return uses;
}

}  // namespace

const Isa& active_isa(Napi::Env env) {
  std::string why;
  const Isa* isa = choose_isa(std::getenv("CKPT_MERGE_ISA"), &why);
  if (isa == nullptr) throw_isa(env, why);
  return *isa;
}

Napi::Value EngineWrap::create(const Napi::CallbackInfo& info) { return addon_data(info.Env()).engine.New({info[0]}); }

EngineWrap::EngineWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineWrap>(info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) refuse(env, "the options are not an object");
  const auto options = info[0].As<Napi::Object>();
  const Isa* isa = &active_isa(env);
  if (const Napi::Value wanted = options.Get("isa"); !wanted.IsUndefined()) {
    const std::string name = to_string(wanted, "isa");
    isa = find_isa(name);
    if (isa == nullptr) throw_isa(env, "the instruction set '" + name + "' is not available here");
  }
  check(env, Engine::create(to_options(options), *isa->table, &engine_));
  info.This().As<Napi::Object>().Set("shape", describe(env, engine_->shape()));
}

template <typename Values>
Napi::Value EngineWrap::call(const Napi::CallbackInfo& info) {
  using Result = typename Values::Result;
  const Napi::Env env = info.Env();
  if (engine_ == nullptr) refuse(env, "the engine is closed");
  if (!info[0].IsObject()) refuse(env, "the job is not an object");
  const auto from = info[0].As<Napi::Object>();
  const std::shared_ptr<typename Values::Job> job = Values::job(from);
  return Task<Result>::start(
      env, [engine = engine_, job, uses = hold(job->outputs)](Result* result) { return Values::kRun(*engine, *job, result); },
      [](Napi::Env at, Result& result) { return Values::result(at, result); }, Napi::Persistent(from.Get("cancel").As<Napi::Object>()));
}

// The operations: to add one, its values and a row.
Napi::Function EngineWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeEngine",
                     {InstanceMethod<&EngineWrap::call<CombineValues>>("combine"), InstanceMethod<&EngineWrap::call<GramValues>>("gram"),
                      InstanceMethod<&EngineWrap::call<RequantiseValues>>("requantise"), InstanceMethod<&EngineWrap::close>("close")});
}

// Calls in flight hold the engine too; the last holder joins the threads.
void EngineWrap::close(const Napi::CallbackInfo&) { engine_.reset(); }

}  // namespace ckpt
