// The free functions of NativeBinding.
#pragma once

#include <napi.h>

namespace ckpt {

Napi::Value cpu_info(const Napi::CallbackInfo& info);
Napi::Value crc32_bytes(const Napi::CallbackInfo& info);
Napi::Value crc32_join(const Napi::CallbackInfo& info);
Napi::Value crc32c_bytes(const Napi::CallbackInfo& info);
Napi::Value crc32c_join(const Napi::CallbackInfo& info);
Napi::Value crc32c_of_file(const Napi::CallbackInfo& info);
Napi::Value rename_file(const Napi::CallbackInfo& info);
Napi::Value type_of_file_system(const Napi::CallbackInfo& info);
Napi::Value bytes_resident(const Napi::CallbackInfo& info);
Napi::Value evict_file(const Napi::CallbackInfo& info);
Napi::Value read_probe(const Napi::CallbackInfo& info);
Napi::Value write_probe(const Napi::CallbackInfo& info);

}  // namespace ckpt
