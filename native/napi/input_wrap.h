// NativeInput.
#pragma once

#include <napi.h>

#include <memory>

#include "../io/input.h"

namespace ckpt {

class InputWrap final : public Napi::ObjectWrap<InputWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  // openInput(path, mode)
  static Napi::Value open(const Napi::CallbackInfo& info);
  // The input inside a JS value; throws for anything else and for a closed one.
  static std::shared_ptr<Input> unwrap(const Napi::Value& value);

  explicit InputWrap(const Napi::CallbackInfo& info);

 private:
  void close(const Napi::CallbackInfo& info);
  std::shared_ptr<Input> input_;
};

}  // namespace ckpt
