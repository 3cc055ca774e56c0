// Elements of any float dtype as float64, exactly.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dtype.h"

namespace ckpt {

inline void widen(const KernelTable& kernels, std::uint8_t dtype, const void* from, double* to, std::size_t count) {
  if (is_wide_float(dtype)) return kernels.widen[dtype](from, to, count);
  // FP8: a row of codes under a scale of 1, summed with a weight of 1.
  constexpr double kOne = 1;
  double peak = 0;
  const Codes codes{from, count, &kOne, kOne};
  kernels.quant.accumulate[encoding_of(dtype)]({1, count, count}, &codes, 1, true, to, &peak, nullptr);
}

}  // namespace ckpt
