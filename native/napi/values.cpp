#include "values.h"

#include <cmath>

namespace ckpt {
namespace {

constexpr double kSafeIntegers = 9007199254740992.0;  // 2^53

bool is_uint(double value) { return value >= 0 && value < kSafeIntegers && value == std::floor(value); }

[[noreturn]] void refuse_property(Napi::Env env, const char* name, const char* what) {
  refuse(env, (std::string(name) + " is not " + what).c_str());
}

}  // namespace

std::uint64_t to_uint(const Napi::Value& value, const char* name) {
  if (!value.IsNumber() || !is_uint(value.As<Napi::Number>().DoubleValue())) refuse_property(value.Env(), name, "a whole number below 2^53");
  return static_cast<std::uint64_t>(value.As<Napi::Number>().DoubleValue());
}

std::uint64_t optional_uint(const Napi::Object& object, const char* name, std::uint64_t otherwise) {
  const Napi::Value value = object.Get(name);
  return value.IsUndefined() ? otherwise : to_uint(value, name);
}

bool optional_bool(const Napi::Object& object, const char* name, bool otherwise) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return otherwise;
  if (!value.IsBoolean()) refuse_property(object.Env(), name, "true or false");
  return value.As<Napi::Boolean>().Value();
}

std::string to_string(const Napi::Value& value, const char* name) {
  if (!value.IsString()) refuse_property(value.Env(), name, "a string");
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.find('\0') != std::string::npos) refuse_property(value.Env(), name, "free of NUL characters");
  return text;
}

InputMode to_mode(const Napi::Value& value) {
  const std::string mode = to_string(value, "mode");
  if (mode != "map" && mode != "read") refuse_property(value.Env(), "mode", "'map' or 'read'");
  return mode == "map" ? InputMode::map : InputMode::read;
}

Bytes to_bytes(const Napi::Value& value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    refuse_property(value.Env(), name, "a Uint8Array");
  }
  const auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

std::vector<std::uint64_t> copy_uints(const Napi::Object& object, const char* name) {
  const std::vector<double> from = copy_array<double>(object, name, napi_float64_array);
  std::vector<std::uint64_t> to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!is_uint(from[i])) refuse_property(object.Env(), name, "made of whole numbers below 2^53");
    to[i] = static_cast<std::uint64_t>(from[i]);
  }
  return to;
}

std::vector<std::int64_t> copy_offsets(const Napi::Object& object, const char* name) {
  const std::vector<double> from = copy_array<double>(object, name, napi_float64_array);
  std::vector<std::int64_t> to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] != -1 && !is_uint(from[i])) refuse_property(object.Env(), name, "made of whole numbers below 2^53, or -1");
    to[i] = static_cast<std::int64_t>(from[i]);
  }
  return to;
}

const std::int32_t* cancel_flag(const Napi::Object& from) {
  const Napi::Value cancel = from.Get("cancel");
  if (!cancel.IsTypedArray() || cancel.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    refuse(from.Env(), "cancel is not an Int32Array");
  }
  const auto flag = cancel.As<Napi::Int32Array>();
  if (flag.ElementLength() == 0) refuse(from.Env(), "cancel is empty");
  return flag.Data();
}

}  // namespace ckpt
