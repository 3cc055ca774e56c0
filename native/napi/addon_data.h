// What each environment (the main thread, each Worker) holds: the constructors of the wrapped classes.
#pragma once

#include <napi.h>

namespace ckpt {

struct AddonData {
  Napi::FunctionReference input;
  Napi::FunctionReference output;
  Napi::FunctionReference engine;
};

inline AddonData& addon_data(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

}  // namespace ckpt
