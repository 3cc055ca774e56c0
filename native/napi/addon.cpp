// The export table; what each entry means is written in src/merge/native/binding.ts and
// src/base/native/addon.ts.
#include <napi.h>

#include "addon_data.h"
#include "engine_wrap.h"
#include "functions.h"
#include "input_wrap.h"
#include "output_wrap.h"
#include "pieces_values.h"

namespace {

// Raised together with NATIVE_API_VERSION in src/base/native/addon.ts.
constexpr int kApiVersion = 5;

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new ckpt::AddonData();
  data->input = Napi::Persistent(ckpt::InputWrap::define(env));
  data->output = Napi::Persistent(ckpt::OutputWrap::define(env));
  data->engine = Napi::Persistent(ckpt::EngineWrap::define(env));
  env.SetInstanceData(data);

  exports.Set("apiVersion", Napi::Number::New(env, kApiVersion));
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("cpuInfo", ckpt::cpu_info);
  add("openInput", ckpt::InputWrap::open);
  add("openOutput", ckpt::OutputWrap::open);
  add("createEngine", ckpt::EngineWrap::create);
  add("crc32", ckpt::crc32_bytes);
  add("crc32Combine", ckpt::crc32_join);
  add("crc32c", ckpt::crc32c_bytes);
  add("crc32cCombine", ckpt::crc32c_join);
  add("crc32cFile", ckpt::crc32c_of_file);
  add("rename", ckpt::rename_file);
  add("fileSystemType", ckpt::type_of_file_system);
  add("residentBytes", ckpt::bytes_resident);
  add("evict", ckpt::evict_file);
  add("readPieces", ckpt::pieces_of_files);
  add("probeRead", ckpt::read_probe);
  add("probeWrite", ckpt::write_probe);
  return exports;
}

}  // namespace

NODE_API_MODULE(ckpt_merge, init)
