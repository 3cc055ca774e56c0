// NativeEngine.
#pragma once

#include <napi.h>

#include <memory>

#include "../engine/engine.h"

namespace ckpt {

class EngineWrap final : public Napi::ObjectWrap<EngineWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  // createEngine(options)
  static Napi::Value create(const Napi::CallbackInfo& info);

  explicit EngineWrap(const Napi::CallbackInfo& info);

 private:
  Napi::Value combine(const Napi::CallbackInfo& info);
  Napi::Value gram(const Napi::CallbackInfo& info);
  Napi::Value requantise(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<Engine> engine_;
};

// The kernels that CKPT_MERGE_ISA forces, or the best available. Throws E_ISA.
const struct Isa& active_isa(Napi::Env env);

}  // namespace ckpt
