// Values that are not finite, and finite ones that were too large.
#pragma once

#include <cstdint>

namespace ckpt {

struct Nonfinite {
  std::uint64_t nan = 0;
  std::uint64_t inf = 0;
  std::uint64_t saturated = 0;  // became the largest finite number

  void add(const Nonfinite& other) {
    nan += other.nan;
    inf += other.inf;
    saturated += other.saturated;
  }
};

}  // namespace ckpt
