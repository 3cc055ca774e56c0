// Status → a JavaScript error with `code`, `errno`, `syscall` and the indices of NativeFailure in
// src/merge/native/binding.ts.
#pragma once

#include <napi.h>

#include "../io/status.h"

namespace ckpt {

Napi::Error to_error(Napi::Env env, const Status& status);

// Throws when the status is a failure.
void check(Napi::Env env, const Status& status);

// Throws E_INVALID_ARG.
[[noreturn]] void refuse(Napi::Env env, const char* message);

}  // namespace ckpt
