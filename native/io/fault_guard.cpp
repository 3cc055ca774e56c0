#include "fault_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

namespace ckpt {
namespace {

struct Window {
  Mapping* const* mappings;
  std::size_t count;
};

thread_local Window window = {nullptr, 0};

// Macs report a lost page of a mapped file as SIGBUS too, some versions as SIGSEGV.
#if defined(__APPLE__)
constexpr int kSignals[] = {SIGBUS, SIGSEGV};
#else
constexpr int kSignals[] = {SIGBUS};
#endif
constexpr std::size_t kSignalCount = sizeof kSignals / sizeof kSignals[0];
struct sigaction previous[kSignalCount];
std::size_t page_size = 4096;

bool survive(const std::uint8_t* address) {
  for (std::size_t i = 0; i < window.count; ++i) {
    Mapping* mapping = window.mappings[i];
    if (address < mapping->base || address >= mapping->base + mapping->length) continue;
    // The flag comes first: a thread that reads the zeros below must find it set.
    mapping->poisoned.store(true);
    const std::size_t offset = static_cast<std::size_t>(address - mapping->base) / page_size * page_size;
    void* from = const_cast<std::uint8_t*>(mapping->base) + offset;
    return mmap(from, mapping->length - offset, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
  }
  return false;
}

void handle(int signal_number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool sent = info->si_code <= 0;  // by kill(2) and the like: no fault, no address
  const bool survived = !sent && survive(static_cast<const std::uint8_t*>(info->si_addr));
  errno = saved_errno;
  if (survived) return;
  for (std::size_t i = 0; i < kSignalCount; ++i) {
    if (kSignals[i] != signal_number) continue;
    const struct sigaction& before = previous[i];
    if ((before.sa_flags & SA_SIGINFO) != 0) {
      before.sa_sigaction(signal_number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
      before.sa_handler(signal_number);
    } else {
      // A fault cannot be ignored: with the default back in place, returning raises it again and ends the
      // process as if we had not been there.
      signal(signal_number, SIG_DFL);
      if (sent) raise(signal_number);
    }
  }
}

}  // namespace

void install_fault_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    page_size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = handle;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    for (std::size_t i = 0; i < kSignalCount; ++i) {
      // Before ours is active, so that a fault in between finds where to go.
      sigaction(kSignals[i], nullptr, &previous[i]);
      sigaction(kSignals[i], &action, nullptr);
    }
  });
}

void prepare_thread_for_faults() {
  volatile Window* touched = &window;
  touched->count = 0;
}

FaultGuard::FaultGuard(Mapping* const* mappings, std::size_t count) {
  window.mappings = mappings;
  // The compiler sees no reader of these stores on this thread and would drop or move them without the
  // fences.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  window.count = count;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

FaultGuard::~FaultGuard() {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  window.count = 0;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace ckpt
