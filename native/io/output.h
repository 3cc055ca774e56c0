// An output file: created, sized up front, written by position.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "status.h"

namespace ckpt {

class Output {
 public:
  // Creates the file exclusively (mode 0666 less umask) or, with `reopen`, opens it, and sizes it:
  // fallocate(2), or ftruncate where the file system has no preallocation. A file created here is removed
  // again when sizing fails.
  static Status open(const std::string& path, std::uint64_t bytes, bool reopen, std::shared_ptr<Output>* opened);
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  std::uint64_t size() const { return size_; }

  // Writes all or fails.
  Status write(std::uint64_t offset, const void* data, std::size_t size) const;
  // Data and metadata to the device. With pages to be dropped, drops those that are clean afterwards.
  Status sync() const;
  // Closes the descriptor; an error here may be the last word about lost data. While an OutputUse is alive,
  // the last of them closes instead.
  Status close();
  bool closed() const { return fd_ < 0; }

  // Start write-back of a range, wait until it is on the device, drop its pages. Best effort (errors come
  // from sync()), no effect once closed, and safe beside close().
  void start_write_back(std::uint64_t offset, std::uint64_t size) const;
  void wait_write_back(std::uint64_t offset, std::uint64_t size) const;
  void drop_cache(std::uint64_t offset, std::uint64_t size) const;
  void drop_after_sync() { drop_after_sync_.store(true, std::memory_order_relaxed); }

 private:
  friend class OutputUse;
  Output() = default;
  Status close_descriptor();
  std::atomic<int> fd_{-1};
  mutable std::mutex closing_;  // held where another thread might close the descriptor in between
  int uses_ = 0;                 // under closing_
  bool close_wanted_ = false;    // under closing_
  std::uint64_t size_ = 0;
  std::atomic<bool> drop_after_sync_{false};
};

// Keeps the descriptor of an output open while work uses it, whatever its owner does meanwhile.
class OutputUse {
 public:
  explicit OutputUse(std::shared_ptr<Output> output);
  ~OutputUse();
  OutputUse(const OutputUse&) = delete;
  OutputUse& operator=(const OutputUse&) = delete;

 private:
  std::shared_ptr<Output> output_;
};

}  // namespace ckpt
