// Work off the JS thread that ends in a promise.
#pragma once

#include <napi.h>

#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <utility>

#include "errors.h"

namespace ckpt {

template <typename Result>
class Task final : public Napi::AsyncWorker {
 public:
  using Work = std::function<Status(Result*)>;
  using Convert = std::function<Napi::Value(Napi::Env, Result&)>;

  // Queues `work` for a thread of libuv's pool; its result goes through `convert` on the JS thread. `keep`
  // stays alive until then.
  static Napi::Promise start(Napi::Env env, Work work, Convert convert, Napi::ObjectReference keep = {}) {
    auto* task = new Task(env, std::move(work), std::move(convert), std::move(keep));
    const Napi::Promise promise = task->deferred_.Promise();
    task->Queue();
    return promise;
  }

 private:
  Task(Napi::Env env, Work work, Convert convert, Napi::ObjectReference keep)
      : Napi::AsyncWorker(env, "ckpt-merge"), deferred_(env), work_(std::move(work)), convert_(std::move(convert)), keep_(std::move(keep)) {}

  void Execute() override {
    try {
      status_ = work_(&result_);
    } catch (const std::bad_alloc&) {
      status_ = failure(Code::no_memory, "no memory");
    } catch (const std::exception&) {
      status_ = failure(Code::internal, "an exception escaped from native code");
    }
  }

  void OnOK() override {
    const Napi::HandleScope scope(Env());
    // what the work held (inputs, outputs, the engine) is free before the caller hears of the end
    work_ = nullptr;
    if (status_.ok()) {
      deferred_.Resolve(convert_(Env(), result_));
    } else {
      deferred_.Reject(to_error(Env(), status_).Value());
    }
  }

  Napi::Promise::Deferred deferred_;
  Work work_;
  Convert convert_;
  Napi::ObjectReference keep_;
  Result result_{};
  Status status_;
};

}  // namespace ckpt
