#include "functions.h"

#include "../cpu/dispatch.h"
#include "../io/crc32.h"
#include "../io/crc32c.h"
#include "../io/fs_ops.h"
#include "../io/probe.h"
#include "engine_wrap.h"
#include "task.h"
#include "values.h"

namespace ckpt {
namespace {

Napi::Value to_object(Napi::Env env, const ProbeResult& from) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("bytes", Napi::Number::New(env, static_cast<double>(from.bytes)));
  result.Set("seconds", Napi::Number::New(env, from.seconds));
  return result;
}

std::uint32_t to_crc(const Napi::Value& value, const char* name) {
  const std::uint64_t number = to_uint(value, name);
  if (number > 0xffffffffu) refuse(value.Env(), "a CRC has 32 bits");
  return static_cast<std::uint32_t>(number);
}

}  // namespace

Napi::Value cpu_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  Napi::Array available = Napi::Array::New(env);
  Napi::Array compiled = Napi::Array::New(env);
  for (const Isa& isa : compiled_isas()) {
    compiled.Set(compiled.Length(), isa.name);
    if (isa.available) available.Set(available.Length(), isa.name);
  }
  result.Set("active", active_isa(env).name);
  result.Set("available", available);
  result.Set("compiled", compiled);
  return result;
}

Napi::Value crc32_bytes(const Napi::CallbackInfo& info) {
  const Bytes bytes = to_bytes(info[0], "bytes");
  return Napi::Number::New(info.Env(), crc32(to_crc(info[1], "seed"), bytes.data, bytes.size));
}

Napi::Value crc32_join(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), crc32_combine(to_crc(info[0], "first"), to_crc(info[1], "second"), to_uint(info[2], "length")));
}

Napi::Value crc32c_bytes(const Napi::CallbackInfo& info) {
  const Bytes bytes = to_bytes(info[0], "bytes");
  return Napi::Number::New(info.Env(), crc32c(to_crc(info[1], "seed"), bytes.data, bytes.size));
}

Napi::Value crc32c_join(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), crc32c_combine(to_crc(info[0], "first"), to_crc(info[1], "second"), to_uint(info[2], "length")));
}

Napi::Value crc32c_of_file(const Napi::CallbackInfo& info) {
  const std::string path = to_string(info[0], "path");
  const std::uint64_t offset = to_uint(info[1], "offset");
  const std::uint64_t length = to_uint(info[2], "length");
  return Task<std::uint32_t>::start(
      info.Env(), [=](std::uint32_t* crc) { return crc32c_file(path, offset, length, crc); },
      [](Napi::Env env, std::uint32_t& crc) { return Napi::Number::New(env, crc); });
}

Napi::Value rename_file(const Napi::CallbackInfo& info) {
  const std::string how = to_string(info[2], "how");
  if (how != "noreplace" && how != "exchange") refuse(info.Env(), "how is not 'noreplace' or 'exchange'");
  check(info.Env(), rename_with(to_string(info[0], "from"), to_string(info[1], "to"), how == "noreplace" ? RenameHow::noreplace : RenameHow::exchange));
  return info.Env().Undefined();
}

Napi::Value type_of_file_system(const Napi::CallbackInfo& info) {
  std::string type;
  check(info.Env(), file_system_type(to_string(info[0], "path"), &type));
  return Napi::String::New(info.Env(), type);
}

Napi::Value bytes_resident(const Napi::CallbackInfo& info) {
  std::uint64_t bytes = 0;
  check(info.Env(), resident_bytes(to_string(info[0], "path"), &bytes));
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

Napi::Value evict_file(const Napi::CallbackInfo& info) {
  check(info.Env(), evict(to_string(info[0], "path")));
  return info.Env().Undefined();
}

Napi::Value read_probe(const Napi::CallbackInfo& info) {
  const std::string path = to_string(info[0], "path");
  const InputMode mode = to_mode(info[1]);
  const std::uint64_t threads = to_uint(info[2], "threads");
  const std::uint64_t request = info[3].IsUndefined() ? 0 : to_uint(info[3], "requestBytes");
  return Task<ProbeResult>::start(
      info.Env(), [=](ProbeResult* result) { return probe_read(path, mode, threads, request, result); },
      [](Napi::Env env, ProbeResult& result) { return to_object(env, result); });
}

Napi::Value write_probe(const Napi::CallbackInfo& info) {
  const std::string path = to_string(info[0], "path");
  const std::uint64_t bytes = to_uint(info[1], "bytes");
  const std::uint64_t threads = to_uint(info[2], "threads");
  return Task<ProbeResult>::start(
      info.Env(), [=](ProbeResult* result) { return probe_write(path, bytes, threads, result); },
      [](Napi::Env env, ProbeResult& result) { return to_object(env, result); });
}

}  // namespace ckpt
