#include "engine_wrap.h"

#include <algorithm>
#include <cstdlib>

#include "../cpu/dispatch.h"
#include "addon_data.h"
#include "input_wrap.h"
#include "output_wrap.h"
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

// What both kinds of jobs have. Copies all that the caller could change under the threads; only the cancel
// flag stays shared.
std::shared_ptr<Job> to_inputs(const Napi::Object& from) {
  auto job = std::make_shared<Job>();
  job->files = unwrap_all<Input>(from, "files", InputWrap::unwrap);
  job->count = copy_uints(from, "count");
  job->segments = job->count.size();
  job->file = copy_array<std::int32_t>(from, "file", napi_int32_array);
  job->inputs = job->segments == 0 ? 0 : job->file.size() / job->segments;
  job->offset = copy_uints(from, "offset");
  job->dtype = copy_array<std::uint8_t>(from, "dtype", napi_uint8_array);
  job->cancel = cancel_flag(from);
  return job;
}

std::shared_ptr<Job> to_job(const Napi::Object& from) {
  const auto job = to_inputs(from);
  job->outputs = unwrap_all<Output>(from, "outputs", OutputWrap::unwrap);
  job->out_offset = copy_uints(from, "outOffset");
  job->out_dtype = copy_array<std::uint8_t>(from, "outDtype", napi_uint8_array);
  job->table = copy_array<std::int32_t>(from, "table", napi_int32_array);
  job->weights = copy_array<double>(from, "weights", napi_float64_array);
  job->cell = copy_array<std::int32_t>(from, "cell", napi_int32_array);
  job->cell_end = copy_uints(from, "cellEnd");
  return job;
}

std::shared_ptr<Job> to_gram_job(const Napi::Object& from) {
  const auto job = to_inputs(from);
  job->products = true;
  job->steps = optional_bool(from, "steps", false);
  number_spans(job.get());
  return job;
}

Napi::Value to_result(Napi::Env env, const JobResult& from) {
  Napi::Object result = Napi::Object::New(env);
  const std::size_t outputs = from.crc.size();
  Napi::Uint32Array crc = Napi::Uint32Array::New(env, outputs);
  Napi::Float64Array length = Napi::Float64Array::New(env, outputs);
  for (std::size_t k = 0; k < outputs; ++k) {
    crc[k] = from.crc[k];
    length[k] = static_cast<double>(from.crc_length[k]);
  }
  Napi::Array nonfinite = Napi::Array::New(env, from.nonfinite.size());
  std::uint32_t index = 0;
  for (const auto& [where, count] : from.nonfinite) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("cell", Napi::Number::New(env, where.first));
    entry.Set("member", Napi::Number::New(env, where.second));
    entry.Set("nan", Napi::Number::New(env, static_cast<double>(count.nan)));
    entry.Set("inf", Napi::Number::New(env, static_cast<double>(count.inf)));
    entry.Set("saturated", Napi::Number::New(env, static_cast<double>(count.saturated)));
    nonfinite.Set(index++, entry);
  }
  result.Set("bytesRead", Napi::Number::New(env, static_cast<double>(from.bytes_read)));
  result.Set("bytesWritten", Napi::Number::New(env, static_cast<double>(from.bytes_written)));
  result.Set("crc", crc);
  result.Set("crcLength", length);
  result.Set("nonfinite", nonfinite);
  result.Set("readSeconds", Napi::Number::New(env, from.read_seconds));
  result.Set("computeSeconds", Napi::Number::New(env, from.compute_seconds));
  result.Set("writeSeconds", Napi::Number::New(env, from.write_seconds));
  return result;
}

// Keeps outputs open while a call uses them.
std::vector<std::shared_ptr<OutputUse>> hold(const std::vector<std::shared_ptr<Output>>& outputs) {
  std::vector<std::shared_ptr<OutputUse>> uses;
  for (const auto& output : outputs) uses.push_back(std::make_shared<OutputUse>(output));
  return uses;
}

Napi::Value to_gram_result(Napi::Env env, const JobResult& from) {
  Napi::Object result = Napi::Object::New(env);
  Napi::Float64Array sums = Napi::Float64Array::New(env, from.sums.size());
  std::copy(from.sums.begin(), from.sums.end(), sums.Data());
  result.Set("sums", sums);
  result.Set("bytesRead", Napi::Number::New(env, static_cast<double>(from.bytes_read)));
  result.Set("readSeconds", Napi::Number::New(env, from.read_seconds));
  result.Set("computeSeconds", Napi::Number::New(env, from.compute_seconds));
  return result;
}

}  // namespace

const Isa& active_isa(Napi::Env env) {
  std::string why;
  const Isa* isa = choose_isa(std::getenv("CKPT_MERGE_ISA"), &why);
  if (isa == nullptr) throw_isa(env, why);
  return *isa;
}

Napi::Function EngineWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeEngine",
                     {InstanceMethod<&EngineWrap::combine>("combine"), InstanceMethod<&EngineWrap::gram>("gram"),
                      InstanceMethod<&EngineWrap::requantise>("requantise"), InstanceMethod<&EngineWrap::close>("close")});
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

Napi::Value EngineWrap::combine(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (engine_ == nullptr) refuse(env, "the engine is closed");
  if (!info[0].IsObject()) refuse(env, "the job is not an object");
  const auto from = info[0].As<Napi::Object>();
  const auto job = to_job(from);
  return Task<JobResult>::start(
      env, [engine = engine_, job, uses = hold(job->outputs)](JobResult* result) { return engine->run(*job, result); },
      [](Napi::Env at, JobResult& result) { return to_result(at, result); }, Napi::Persistent(from.Get("cancel").As<Napi::Object>()));
}

Napi::Value EngineWrap::requantise(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (engine_ == nullptr) refuse(env, "the engine is closed");
  if (!info[0].IsObject()) refuse(env, "the job is not an object");
  const auto from = info[0].As<Napi::Object>();
  const auto job = to_quant_job(from);
  return Task<QuantResult>::start(
      env, [engine = engine_, job, uses = hold(job->outputs)](QuantResult* result) { return engine->requantise(*job, result); },
      [](Napi::Env at, QuantResult& result) { return to_quant_result(at, result); }, Napi::Persistent(from.Get("cancel").As<Napi::Object>()));
}

Napi::Value EngineWrap::gram(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (engine_ == nullptr) refuse(env, "the engine is closed");
  if (!info[0].IsObject()) refuse(env, "the job is not an object");
  const auto from = info[0].As<Napi::Object>();
  return Task<JobResult>::start(
      env, [engine = engine_, job = to_gram_job(from)](JobResult* result) { return engine->run(*job, result); },
      [](Napi::Env at, JobResult& result) { return to_gram_result(at, result); }, Napi::Persistent(from.Get("cancel").As<Napi::Object>()));
}

// Calls in flight hold the engine too; the last holder joins the threads.
void EngineWrap::close(const Napi::CallbackInfo&) { engine_.reset(); }

}  // namespace ckpt
