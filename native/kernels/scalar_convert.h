// Conversions of single elements: the tails of the kernels, and the careful path of the core. Static
// functions only (see kernel_table.h).
#pragma once

#include "kernel_table.h"

namespace ckpt {
namespace {

template <typename To, typename From>
inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

template <typename T>
inline T load_raw(const void* base, std::size_t index) {
  T value;
  __builtin_memcpy(&value, static_cast<const unsigned char*>(base) + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
inline void store_raw(void* base, std::size_t index, T value) {
  __builtin_memcpy(static_cast<unsigned char*>(base) + index * sizeof(T), &value, sizeof(T));
}

inline float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 31u;
  const std::uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0) {  // zero or denormal: an exact multiple of 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return bits_as<float>(sign | bits_as<std::uint32_t>(magnitude));
  }
  const std::uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
  return bits_as<float>(sign | (wide << 23) | (mantissa << 13));
}

// Round to nearest even; NaN becomes the canonical positive quiet NaN.
inline std::uint16_t float_to_half(float value) {
  const std::uint32_t bits = bits_as<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  if (magnitude > 0x7f800000u) return 0x7e00;
  // 65520 and above round to infinity
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    // Below 2^-14 the result is a multiple of 2^-24, which is the unit in the last place of 0.5: the addition
    // does the rounding.
    const float shifted = bits_as<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (bits_as<std::uint32_t>(shifted) - 0x3f000000u));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

// Round to nearest even; NaN becomes the canonical positive quiet NaN.
inline std::uint16_t float_to_bfloat(float value) {
  const std::uint32_t bits = bits_as<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0;
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

template <int Code>
inline double load_element(const void* base, std::size_t index) {
  if constexpr (Code == kBF16) {
    return static_cast<double>(bits_as<float>(static_cast<std::uint32_t>(load_raw<std::uint16_t>(base, index)) << 16));
  } else if constexpr (Code == kF16) {
    return static_cast<double>(half_to_float(load_raw<std::uint16_t>(base, index)));
  } else if constexpr (Code == kF32) {
    return static_cast<double>(load_raw<float>(base, index));
  } else {
    return load_raw<double>(base, index);
  }
}

// Stores dtype(float32(value)), F64 without the float32 step. Returns whether the stored element is finite.
template <int Code>
inline bool store_element(void* base, std::size_t index, double value) {
  if constexpr (Code == kF64) {
    const bool nan = value != value;
    store_raw(base, index, nan ? bits_as<double>(std::uint64_t{0x7ff8000000000000u}) : value);
    return (bits_as<std::uint64_t>(value) & 0x7ff0000000000000u) != 0x7ff0000000000000u;
  } else {
    const float narrow = static_cast<float>(value);
    if constexpr (Code == kF32) {
      const std::uint32_t bits = bits_as<std::uint32_t>(narrow);
      const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
      store_raw(base, index, nan ? 0x7fc00000u : bits);
      return (bits & 0x7f800000u) != 0x7f800000u;
    } else if constexpr (Code == kF16) {
      const std::uint16_t half = float_to_half(narrow);
      store_raw(base, index, half);
      return (half & 0x7c00u) != 0x7c00u;
    } else {
      const std::uint16_t brain = float_to_bfloat(narrow);
      store_raw(base, index, brain);
      return (brain & 0x7f80u) != 0x7f80u;
    }
  }
}

}  // namespace
}  // namespace ckpt
