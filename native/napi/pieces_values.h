// `readPieces`: the job and its result, from and to JavaScript.
#pragma once

#include <napi.h>

namespace ckpt {

Napi::Value pieces_of_files(const Napi::CallbackInfo& info);

}  // namespace ckpt
