// The float dtypes and the encodings of quantised values. The codes are those of src/base/dtype.ts;
// conversions live beside the kernels.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "../kernels/kernel_table.h"

namespace ckpt {

enum DtypeCode : std::uint8_t { kU8Code = 4, kF8E5M2Code = 14, kF8E4M3Code = 15, kF8E8M0Code = 16, kF8E5M2FnuzCode = 17, kF8E4M3FnuzCode = 18 };
// FP4 under E8M0 scales (src/merge/native/requantise.ts).
constexpr std::uint8_t kMxfp4Code = 64;

// The kernels' index of an encoding: the four float dtypes by their codes, then the small floats. -1: not an
// encoding.
inline int encoding_of(std::uint8_t code) {
  switch (code) {
    case kBF16:
    case kF16:
    case kF32:
    case kF64: return code;
    case kF8E5M2Code: return kFloatCodes + kE5M2;
    case kF8E4M3Code: return kFloatCodes + kE4M3;
    case kF8E5M2FnuzCode: return kFloatCodes + kE5M2Fnuz;
    case kF8E4M3FnuzCode: return kFloatCodes + kE4M3Fnuz;
    case kMxfp4Code: return kFloatCodes + kE2M1;
    default: return -1;
  }
}

// BF16, F16, F32, F64.
inline bool is_wide_float(std::uint8_t code) { return code < kFloatCodes; }
// Those and FP8: what is averaged element by element.
inline bool is_float(std::uint8_t code) { return code != kMxfp4Code && encoding_of(code) >= 0; }

// Bytes of one element.
inline std::size_t float_size(std::uint8_t code) { return code == kF64 ? 8 : code == kF32 ? 4 : is_wide_float(code) ? 2 : 1; }

// Bytes of a run of elements in an encoding (an even number of FP4).
inline std::uint64_t encoded_bytes(std::uint8_t code, std::uint64_t elements) {
  return code == kMxfp4Code ? elements / 2 : elements * float_size(code);
}

// Significant bits of the mantissa, the hidden one included.
inline int precision_of(std::uint8_t code) {
  switch (code) {
    case kBF16: return 8;
    case kF16: return 11;
    case kF32: return 24;
    case kF64: return 53;
    case kMxfp4Code: return 2;
    case kF8E4M3Code:
    case kF8E4M3FnuzCode: return 4;
    default: return 3;
  }
}

// Whether weight x element is exact in float64 for every finite element of so many significant bits, and a
// range of exponents as float32 has it; a fused multiply-add then rounds once where the separate operations
// round once too. The range of the weight keeps the product clear of underflow and overflow.
inline bool product_is_exact(double weight, int precision) {
  if (weight == 0) return true;
  const double magnitude = std::fabs(weight);
  if (magnitude < 0x1p-64 || magnitude > 0x1p64 || precision > 53) return false;
  int exponent = 0;
  const double fraction = std::frexp(magnitude, &exponent);  // in [0.5, 1)
  const double scaled = std::ldexp(fraction, 53 - precision);
  return scaled == std::floor(scaled);
}

}  // namespace ckpt
