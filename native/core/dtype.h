// Sizes of the float dtypes. The codes are those of src/dtype.ts; conversions live beside the kernels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../kernels/kernel_table.h"

namespace ckpt {

inline bool is_float(std::uint8_t code) { return code < kFloatCodes; }

// Bytes of one element.
inline std::size_t float_size(std::uint8_t code) { return code == kF64 ? 8 : code == kF32 ? 4 : 2; }

// Significant bits of the mantissa, the hidden one included.
inline int float_precision(std::uint8_t code) { return code == kBF16 ? 8 : code == kF16 ? 11 : code == kF32 ? 24 : 53; }

}  // namespace ckpt
