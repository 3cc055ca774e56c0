#include "output_wrap.h"

#include "addon_data.h"
#include "task.h"
#include "values.h"

namespace ckpt {
namespace {

constexpr napi_type_tag kTag = {0x1b85c4d02fe74a39u, 0xa7402f9e6c1d8b53u};

}  // namespace

Napi::Function OutputWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeOutput",
                     {InstanceMethod<&OutputWrap::write>("write"), InstanceMethod<&OutputWrap::sync>("sync"),
                      InstanceMethod<&OutputWrap::close>("close")});
}

Napi::Value OutputWrap::open(const Napi::CallbackInfo& info) {
  return addon_data(info.Env()).output.New({info[0], info[1], info[2]});
}

OutputWrap::OutputWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<OutputWrap>(info) {
  const Napi::Env env = info.Env();
  const bool reopen = info[2].IsObject() && optional_bool(info[2].As<Napi::Object>(), "reopen", false);
  check(env, Output::open(to_string(info[0], "path"), to_uint(info[1], "bytes"), reopen, &output_));
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

std::shared_ptr<Output> OutputWrap::require_open(Napi::Env env) const {
  if (output_ == nullptr || output_->closed()) refuse(env, "the output is closed");
  return output_;
}

std::shared_ptr<Output> OutputWrap::unwrap(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) refuse(value.Env(), "not a NativeOutput");
  return OutputWrap::Unwrap(value.As<Napi::Object>())->require_open(value.Env());
}

void OutputWrap::write(const Napi::CallbackInfo& info) {
  const auto output = require_open(info.Env());
  const std::uint64_t offset = to_uint(info[0], "offset");
  const Bytes bytes = to_bytes(info[1], "bytes");
  if (offset > output->size() || bytes.size > output->size() - offset) refuse(info.Env(), "a write beyond the end of the output");
  check(info.Env(), output->write(offset, bytes.data, bytes.size));
}

Napi::Value OutputWrap::sync(const Napi::CallbackInfo& info) {
  struct Nothing {};
  const auto output = require_open(info.Env());
  return Task<Nothing>::start(
      info.Env(), [output, use = std::make_shared<OutputUse>(output)](Nothing*) { return output->sync(); },
      [](Napi::Env env, Nothing&) { return env.Undefined(); });
}

void OutputWrap::close(const Napi::CallbackInfo& info) {
  const auto output = std::move(output_);
  if (output != nullptr) check(info.Env(), output->close());
}

}  // namespace ckpt
