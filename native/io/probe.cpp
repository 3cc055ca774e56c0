#include "probe.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <mutex>
#include <vector>

#include "buffer.h"
#include "output.h"
#include "thread.h"

namespace ckpt {
namespace {

constexpr std::size_t kRead = std::size_t{256} << 10;
constexpr std::size_t kWrite = std::size_t{1} << 20;
// Bytes of a mapping that a thread scans at a time, as the engine's chunks.
constexpr std::size_t kScan = std::size_t{4} << 20;

std::uint64_t consume(const std::uint8_t* from, std::size_t size) {
  std::uint64_t sum = 0;
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, from + i, sizeof word);
    sum += word;
  }
  for (; i < size; ++i) sum += from[i];
  return sum;
}

// Calls `work(offset, size, buffer)` for every piece of [0, total) on `threads` threads, the caller's among
// them, and times it.
Status spread(std::size_t threads, std::uint64_t total, std::size_t piece, bool buffers,
              const std::function<Status(std::uint64_t, std::size_t, std::uint8_t*)>& work, ProbeResult* result) {
  std::atomic<std::uint64_t> next{0};
  std::mutex mutex;
  Status first;
  std::vector<Buffer> own(threads);
  for (Buffer& buffer : own) {
    if (buffers && !buffer.reserve(piece)) return failure(Code::no_memory, "no memory for a probe");
    if (buffers) std::memset(buffer.data(), 0x5a, piece);
  }
  const auto body = [&](Buffer& buffer) {
    prepare_thread_for_faults();
    while (true) {
      const std::uint64_t offset = next.fetch_add(piece);
      if (offset >= total) return;
      const Status status = work(offset, static_cast<std::size_t>(std::min<std::uint64_t>(piece, total - offset)), buffer.data());
      if (status.ok()) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      first = status;
      return;
    }
  };
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<Thread> others(threads - 1);
    for (std::size_t i = 0; i + 1 < threads; ++i) others[i].start([&body, &own, i] { body(own[i + 1]); });
    body(own[0]);
  }
  result->seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result->bytes = total;
  return first;
}

}  // namespace

Status probe_read(const std::string& path, InputMode mode, std::size_t threads, std::size_t request, ProbeResult* result) {
  if (threads == 0) return failure(Code::invalid_arg, "a probe needs a thread");
  const auto start = std::chrono::steady_clock::now();
  std::shared_ptr<Input> input;
  Status status = Input::open(path, mode, &input);
  if (!status.ok()) return status;
  std::atomic<std::uint64_t> sum{0};
  if (input->mode() == InputMode::map) {
    Mapping* mapping = &input->mapping();
    status = spread(threads, input->stat().size, kScan, false, [&](std::uint64_t offset, std::size_t size, std::uint8_t*) {
      const FaultGuard guard(&mapping, 1);
      sum += consume(mapping->base + offset, size);
      return mapping->poisoned.load() ? input->poison_reason() : Status();
    }, result);
  } else {
    status = spread(threads, input->stat().size, request == 0 ? kRead : request, true,
                    [&](std::uint64_t offset, std::size_t size, std::uint8_t* buffer) {
      const Status read = input->read(offset, buffer, size);
      if (read.ok()) sum += consume(buffer, size);
      return read;
    }, result);
  }
  input.reset();  // unmapping is part of what a mapped scan costs
  result->seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return status;
}

Status probe_write(const std::string& path, std::uint64_t bytes, std::size_t threads, ProbeResult* result) {
  if (threads == 0) return failure(Code::invalid_arg, "a probe needs a thread");
  std::shared_ptr<Output> output;
  const Status status = Output::open(path, bytes, false, &output);
  if (!status.ok()) return status;
  return spread(threads, bytes, kWrite, true,
                [&](std::uint64_t offset, std::size_t size, std::uint8_t* buffer) { return output->write(offset, buffer, size); }, result);
}

}  // namespace ckpt
