#include "input_wrap.h"

#include "addon_data.h"
#include "values.h"

namespace ckpt {
namespace {

constexpr napi_type_tag kTag = {0x6d1f0b7a2c934e15u, 0x9c3de8a1570b4f62u};

Napi::Object describe(Napi::Env env, const FileStat& stat) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("size", Napi::Number::New(env, static_cast<double>(stat.size)));
  object.Set("dev", Napi::BigInt::New(env, stat.dev));
  object.Set("ino", Napi::BigInt::New(env, stat.ino));
  object.Set("mtimeNs", Napi::BigInt::New(env, stat.mtime_ns));
  object.Set("ctimeNs", Napi::BigInt::New(env, stat.ctime_ns));
  return object;
}

}  // namespace

Napi::Function InputWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeInput", {InstanceMethod<&InputWrap::close>("close")});
}

Napi::Value InputWrap::open(const Napi::CallbackInfo& info) {
  return addon_data(info.Env()).input.New({info[0], info[1]});
}

InputWrap::InputWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<InputWrap>(info) {
  const Napi::Env env = info.Env();
  check(env, Input::open(to_string(info[0], "path"), to_mode(info[1]), &input_));
  Napi::Object self = info.This().As<Napi::Object>();
  self.TypeTag(&kTag);
  self.Set("mode", input_->mode() == InputMode::map ? "map" : "read");
  self.Set("stat", describe(env, input_->stat()));
}

std::shared_ptr<Input> InputWrap::unwrap(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) refuse(value.Env(), "not a NativeInput");
  InputWrap* wrap = InputWrap::Unwrap(value.As<Napi::Object>());
  if (wrap->input_ == nullptr) refuse(value.Env(), "the input is closed");
  return wrap->input_;
}

// Calls in flight hold the input too; the last holder gives the mapping or the descriptor back.
void InputWrap::close(const Napi::CallbackInfo&) { input_.reset(); }

}  // namespace ckpt
