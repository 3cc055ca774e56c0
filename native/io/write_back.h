// Keeps dirty output small: starts write-back of each chunk as it is written, and waits for the oldest when
// too much is under way.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "output.h"

namespace ckpt {

class WriteBack {
 public:
  // `drop`: give the pages back to the system once they are on the device.
  void configure(bool enabled, bool drop) {
    enabled_ = enabled;
    drop_ = drop;
  }
  void written(const std::shared_ptr<Output>& output, std::uint64_t offset, std::uint64_t size);

 private:
  struct Range {
    std::shared_ptr<Output> output;
    std::uint64_t offset;
    std::uint64_t size;
  };

  bool enabled_ = false;
  bool drop_ = false;
  std::mutex mutex_;
  std::deque<Range> under_way_;
  std::uint64_t bytes_ = 0;
};

}  // namespace ckpt
