#include "quant_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "../../engine/dtype.h"
#include "../../kernels/scalar_convert.h"

namespace ckpt {
namespace {

// Largest finite numbers, in the order of SmallFloat.
constexpr double kLargest[kSmallFloats] = {57344, 448, 57344, 240, 6};

struct Range {
  int least;  // exponents of the powers of two that a dtype holds
  int most;
};

Range exponents(std::uint8_t dtype) {
  switch (dtype) {
    case kF32: return {-149, 127};
    case kBF16: return {-133, 127};
    case kF16: return {-24, 15};
    default: return {-127, 127};
  }
}

bool is_e8m0(std::uint8_t dtype) { return dtype == kU8Code || dtype == kF8E8M0Code; }

std::uint32_t bits_of(std::uint8_t dtype, float value) {
  switch (dtype) {
    case kF32: return std::clamp(bits_as<std::uint32_t>(value), 1u, 0x7f7fffffu);
    case kBF16: return std::clamp<std::uint32_t>(float_to_bfloat(value), 1u, 0x7f7fu);
    default: return std::clamp<std::uint32_t>(float_to_half(value), 1u, 0x7bffu);
  }
}

// ceil(log2(x)) of a positive number.
int ceil_log2(double x) {
  const std::uint64_t bits = bits_as<std::uint64_t>(x);
  if (bits < std::uint64_t{1} << 52) return -1022;  // denormal: beyond what any scale holds
  return static_cast<int>(bits >> 52) - 1023 + static_cast<int>((bits & 0xfffffffffffffu) != 0);
}

}  // namespace

std::uint32_t load_scale_bits(std::uint8_t dtype, const std::uint8_t* from, std::size_t index) {
  if (dtype == kF32) return load_raw<std::uint32_t>(from, index);
  return is_e8m0(dtype) ? from[index] : load_raw<std::uint16_t>(from, index);
}

double scale_value(std::uint8_t dtype, std::uint32_t bits) {
  if (dtype == kF32) return static_cast<double>(bits_as<float>(bits));
  if (dtype == kBF16) return static_cast<double>(bits_as<float>(bits << 16));
  if (dtype == kF16) return static_cast<double>(half_to_float(static_cast<std::uint16_t>(bits)));
  return bits == 255 ? std::numeric_limits<double>::quiet_NaN() : bits_as<double>(std::uint64_t{bits + 1023 - 127} << 52);
}

int scale_precision(std::uint8_t dtype) { return is_e8m0(dtype) ? 1 : precision_of(dtype); }

Scale make_scale(const ScaleRule& rule, double amax, std::uint8_t zero) {
  const double wanted = amax / kLargest[rule.encoding - kFloatCodes];
  const bool powers = rule.power_of_two || is_e8m0(rule.dtype);
  std::uint32_t bits;
  if (amax == 0) {
    bits = is_e8m0(rule.dtype) ? zero : bits_of(rule.dtype, 1.0f);
  } else if (powers) {
    const Range range = exponents(rule.dtype);
    // A quotient that underflowed asks for the least there is.
    const int exponent = wanted == 0 ? range.least : std::clamp(ceil_log2(wanted), range.least, range.most);
    bits = is_e8m0(rule.dtype) ? static_cast<std::uint32_t>(exponent + 127) : bits_of(rule.dtype, std::ldexp(1.0f, exponent));
  } else {
    bits = bits_of(rule.dtype, static_cast<float>(wanted));
  }
  return {scale_value(rule.dtype, bits), bits};
}

Scale nan_scale() { return {scale_value(kF8E8M0Code, 255), 255}; }

}  // namespace ckpt
