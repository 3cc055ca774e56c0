// NativeOutput.
#pragma once

#include <napi.h>

#include <memory>

#include "../io/output.h"

namespace ckpt {

class OutputWrap final : public Napi::ObjectWrap<OutputWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  // openOutput(path, bytes, { reopen })
  static Napi::Value open(const Napi::CallbackInfo& info);
  // The output inside a JS value; throws for anything else and for a closed one.
  static std::shared_ptr<Output> unwrap(const Napi::Value& value);

  explicit OutputWrap(const Napi::CallbackInfo& info);

 private:
  void write(const Napi::CallbackInfo& info);
  Napi::Value sync(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  std::shared_ptr<Output> require_open(Napi::Env env) const;

  std::shared_ptr<Output> output_;
};

}  // namespace ckpt
