// Survives SIGBUS on mapped inputs. A file that is truncated (or whose device fails) while it is mapped
// raises SIGBUS on the thread that touches the lost page. The handler looks the address up among the mappings
// that this thread has registered, puts anonymous pages over the rest of the mapping, flags it and returns:
// the thread computes on zeros until it sees the flag, and throws the tile away. Faults elsewhere go to the
// handler before ours.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ckpt {

// A mapped file. Once poisoned it stays so: part of it is no longer the file.
struct Mapping {
  const std::uint8_t* base = nullptr;
  std::size_t length = 0;
  std::atomic<bool> poisoned{false};
};

// Installs the handler, once per process. It is never removed: the addon stays loaded (-z nodelete).
void install_fault_handler();

// Touches this thread's registration, so that the handler never allocates thread-local storage. Call at the
// start of each thread that guards.
void prepare_thread_for_faults();

// While alive, faults of this thread inside the given mappings are survived. Does not nest.
class FaultGuard {
 public:
  FaultGuard(Mapping* const* mappings, std::size_t count);
  ~FaultGuard();
  FaultGuard(const FaultGuard&) = delete;
  FaultGuard& operator=(const FaultGuard&) = delete;
};

}  // namespace ckpt
