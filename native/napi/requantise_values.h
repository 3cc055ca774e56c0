// RequantiseJob and RequantiseResult (src/merge/native/requantise.ts) across the boundary.
#pragma once

#include <napi.h>

#include <memory>

#include "../ops/requantise/requantise.h"

namespace ckpt {

struct RequantiseValues {
  using Job = QuantJob;
  using Result = QuantResult;
  static constexpr auto kRun = requantise;
  static std::shared_ptr<Job> job(const Napi::Object& from);
  static Napi::Value result(Napi::Env env, const Result& from);
};

}  // namespace ckpt
