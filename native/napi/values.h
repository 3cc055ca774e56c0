// JavaScript values → C++ values, checked.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../io/input.h"
#include "errors.h"

namespace ckpt {

// A whole number in [0, 2^53). `name` is used in the error.
std::uint64_t to_uint(const Napi::Value& value, const char* name);
// The same, with a default where the property is absent.
std::uint64_t optional_uint(const Napi::Object& object, const char* name, std::uint64_t otherwise);
bool optional_bool(const Napi::Object& object, const char* name, bool otherwise);
std::string to_string(const Napi::Value& value, const char* name);
InputMode to_mode(const Napi::Value& value);

struct Bytes {
  const std::uint8_t* data;
  std::size_t size;
};
Bytes to_bytes(const Napi::Value& value, const char* name);

// A property that is a typed array of the C++ type, copied.
template <typename T>
std::vector<T> copy_array(const Napi::Object& object, const char* name, napi_typedarray_type type) {
  const Napi::Value value = object.Get(name);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    refuse(object.Env(), (std::string(name) + " is not the typed array it should be").c_str());
  }
  const auto array = value.As<Napi::TypedArrayOf<T>>();
  return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

// The native objects of an array property.
template <typename T, typename Unwrap>
std::vector<std::shared_ptr<T>> unwrap_all(const Napi::Object& from, const char* name, Unwrap unwrap) {
  const Napi::Value value = from.Get(name);
  if (!value.IsArray()) refuse(from.Env(), (std::string(name) + " is not an array").c_str());
  const auto array = value.As<Napi::Array>();
  std::vector<std::shared_ptr<T>> all;
  for (std::uint32_t i = 0; i < array.Length(); ++i) all.push_back(unwrap(array.Get(i)));
  return all;
}

// A Float64Array of whole numbers in [0, 2^53).
std::vector<std::uint64_t> copy_uints(const Napi::Object& object, const char* name);
// The same, or -1 for none.
std::vector<std::int64_t> copy_offsets(const Napi::Object& object, const char* name);

// The shared flag `cancel`, an Int32Array.
const std::int32_t* cancel_flag(const Napi::Object& object);

}  // namespace ckpt
