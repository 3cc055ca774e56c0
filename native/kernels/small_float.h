// FP8 and FP4: what a code stands for, and the code nearest to a float32, one element at a time. Static
// functions only (see kernel_table.h).
//
// All are sign, exponent, mantissa with gradual underflow. E4M3 (finite only) has NaN at S.1111.111 and no
// infinity; E5M2 is as IEEE has it; the FNUZ forms have one more in the bias, one NaN (0x80, where -0 would
// be) and no infinity; E2M1 has neither.
#pragma once

#include "scalar_convert.h"

namespace ckpt {
namespace {

template <int Kind>
struct SmallFormat {
  static constexpr int kMantissa = Kind == kE5M2 || Kind == kE5M2Fnuz ? 2 : Kind == kE2M1 ? 1 : 3;
  static constexpr int kBias = Kind == kE5M2 ? 15 : Kind == kE4M3 ? 7 : Kind == kE5M2Fnuz ? 16 : Kind == kE4M3Fnuz ? 8 : 1;
  static constexpr bool kFnuz = Kind == kE5M2Fnuz || Kind == kE4M3Fnuz;
  static constexpr unsigned kSign = Kind == kE2M1 ? 0x8u : 0x80u;
  // Code of the largest finite number.
  static constexpr unsigned kLargest = Kind == kE5M2 ? 0x7bu : Kind == kE4M3 ? 0x7eu : Kind == kE2M1 ? 0x7u : 0x7fu;
  // The canonical NaN; FP4 has none.
  static constexpr unsigned kNaN = kFnuz ? 0x80u : 0x7fu;
  // The least float32 magnitude (as bits) that rounds beyond the largest number: 61440, the float after 464
  // (a tie that goes to 448), 248, 7.
  static constexpr std::uint32_t kOverflow = kMantissa == 2   ? 0x47700000u
                                             : Kind == kE4M3 ? 0x43e80001u
                                             : Kind == kE2M1 ? 0x40e00000u
                                                             : 0x43780000u;
  // Bits of the least normal number, and of the float32 whose unit in the last place is the least denormal.
  static constexpr std::uint32_t kNormal = static_cast<std::uint32_t>(128 - kBias) << 23;
  static constexpr std::uint32_t kMagic = static_cast<std::uint32_t>(128 - kBias - kMantissa + 23) << 23;
  static constexpr std::uint32_t kRebias = static_cast<std::uint32_t>(127 - kBias) << kMantissa;
};

template <int Kind>
inline double small_to_double(unsigned code) {
  using Format = SmallFormat<Kind>;
  const unsigned magnitude = code & (Format::kSign - 1);
  const bool nan = Format::kFnuz ? code == 0x80u : Kind == kE4M3 ? magnitude == 0x7fu : Kind == kE5M2 && magnitude > 0x7cu;
  if (nan) return static_cast<double>(bits_as<float>(0x7fc00000u));
  const unsigned exponent = magnitude >> Format::kMantissa;
  const unsigned fraction = magnitude & ((1u << Format::kMantissa) - 1);
  std::uint32_t bits;
  if (Kind == kE5M2 && exponent == 31) {
    bits = 0x7f800000u;
  } else if (exponent == 0) {
    const float unit = bits_as<float>(static_cast<std::uint32_t>(128 - Format::kBias - Format::kMantissa) << 23);
    bits = bits_as<std::uint32_t>(static_cast<float>(fraction) * unit);
  } else {
    bits = (exponent + 127u - static_cast<unsigned>(Format::kBias)) << 23 | fraction << (23 - Format::kMantissa);
  }
  if ((code & Format::kSign) != 0) bits |= 0x80000000u;
  return static_cast<double>(bits_as<float>(bits));
}

// How a number went into a small float.
enum class Fit { in_range, saturated, not_finite };

// Round to nearest even. Finite numbers out of range become the largest one (E4M3, E2M1), infinity (E5M2) or
// NaN (FNUZ), as torch has it; infinity becomes NaN where the format has no infinity. Never called with NaN
// or infinity for E2M1.
template <int Kind>
inline Fit float_to_small(float value, unsigned* code) {
  using Format = SmallFormat<Kind>;
  const std::uint32_t bits = bits_as<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  const unsigned sign = (bits >> 31) != 0 ? Format::kSign : 0u;
  if (magnitude >= Format::kOverflow) {
    const bool finite = magnitude < 0x7f800000u;
    if (finite && (Kind == kE4M3 || Kind == kE2M1)) {
      *code = sign | Format::kLargest;
      return Fit::saturated;
    }
    const bool infinite = Kind == kE5M2 && magnitude <= 0x7f800000u;
    *code = infinite ? sign | 0x7cu : Format::kNaN;
    return Fit::not_finite;
  }
  std::uint32_t rounded;
  if (magnitude < Format::kNormal) {
    rounded = bits_as<std::uint32_t>(bits_as<float>(magnitude) + bits_as<float>(Format::kMagic)) - Format::kMagic;
  } else {
    constexpr int kDropped = 23 - Format::kMantissa;
    rounded = ((magnitude + (1u << (kDropped - 1)) - 1 + ((magnitude >> kDropped) & 1u)) >> kDropped) - Format::kRebias;
  }
  *code = Format::kFnuz && rounded == 0 ? 0u : rounded | sign;
  return Fit::in_range;
}

// Element `index` of a row of codes.
template <int Kind>
inline unsigned load_code(const void* base, std::size_t index) {
  const auto* bytes = static_cast<const unsigned char*>(base);
  if constexpr (Kind == kE2M1) {
    return static_cast<unsigned>(bytes[index / 2] >> (index % 2 * 4)) & 15u;
  } else {
    return bytes[index];
  }
}

// The low nibble is written first, and clears the high one.
template <int Kind>
inline void store_code(void* base, std::size_t index, unsigned code) {
  auto* bytes = static_cast<unsigned char*>(base);
  if constexpr (Kind == kE2M1) {
    if (index % 2 == 0) bytes[index / 2] = static_cast<unsigned char>(code);
    else bytes[index / 2] = static_cast<unsigned char>(bytes[index / 2] | code << 4);
  } else {
    bytes[index] = static_cast<unsigned char>(code);
  }
}

// Element `index` in any encoding: a float dtype, or a small float.
template <int Encoding>
inline double load_value(const void* base, std::size_t index) {
  if constexpr (Encoding < kFloatCodes) {
    return load_element<Encoding>(base, index);
  } else {
    return small_to_double<Encoding - kFloatCodes>(load_code<Encoding - kFloatCodes>(base, index));
  }
}

}  // namespace
}  // namespace ckpt
