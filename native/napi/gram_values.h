// GramJob and GramResult (src/merge/native/gram.ts) across the boundary.
#pragma once

#include <napi.h>

#include <memory>

#include "../ops/gram/gram.h"

namespace ckpt {

struct GramValues {
  using Job = GramJob;
  using Result = GramResult;
  static constexpr auto kRun = gram;
  static std::shared_ptr<Job> job(const Napi::Object& from);
  static Napi::Value result(Napi::Env env, const Result& from);
};

}  // namespace ckpt
