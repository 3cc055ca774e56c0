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
  // An operation; Values says how its job and result cross the boundary, and what runs it.
  template <typename Values>
  Napi::Value call(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<Engine> engine_;
};

// The kernels that CKPT_MERGE_ISA forces, or the best available. Throws E_ISA.
const struct Isa& active_isa(Napi::Env env);

}  // namespace ckpt
