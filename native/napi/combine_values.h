// CombineJob and CombineResult (src/merge/native/combine.ts) across the boundary.
#pragma once

#include <napi.h>

#include <memory>

#include "../ops/combine/combine.h"

namespace ckpt {

struct CombineValues {
  using Job = CombineJob;
  using Result = CombineResult;
  static constexpr auto kRun = combine;
  static std::shared_ptr<Job> job(const Napi::Object& from);
  static Napi::Value result(Napi::Env env, const Result& from);
};

}  // namespace ckpt
