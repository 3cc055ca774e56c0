// RequantiseJob and RequantiseResult (src/merge/native/requantise.ts) across the boundary.
#pragma once

#include <napi.h>

#include <memory>

#include "../ops/requantise/quant_job.h"

namespace ckpt {

// Copies all that the caller could change under the threads; only the cancel flag stays shared.
std::shared_ptr<QuantJob> to_quant_job(const Napi::Object& from);
Napi::Value to_quant_result(Napi::Env env, const QuantResult& from);

}  // namespace ckpt
