// A thread with a small stack (16 default stacks would take 128 MB of a limited address space) that leaves
// signals to the host's threads.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <functional>
#include <memory>
#include <utility>

namespace ckpt {

class Thread {
 public:
  Thread() = default;
  Thread(Thread&& other) noexcept : handle_(other.handle_), running_(std::exchange(other.running_, false)) {}
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  Thread& operator=(Thread&&) = delete;
  ~Thread() { join(); }

  // 0 or errno.
  int start(std::function<void()> body) {
    constexpr std::size_t kStack = std::size_t{512} << 10;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStack);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    for (const int fault : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // the new thread inherits the mask
    auto owned = std::make_unique<std::function<void()>>(std::move(body));
    const int error = pthread_create(&handle_, &attributes, enter, owned.get());
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    if (error != 0) return error;
    static_cast<void>(owned.release());
    running_ = true;
    return 0;
  }

  void join() {
    if (running_) pthread_join(handle_, nullptr);
    running_ = false;
  }

 private:
  static void* enter(void* argument) {
    const std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
    (*body)();
    return nullptr;
  }

  pthread_t handle_{};
  bool running_ = false;
};

}  // namespace ckpt
