// Small floats in NEON: 8 codes a step, by way of float16 as in quant_ops_avx512.h.
#pragma once

#include "ops_neon.h"
#include "small_float.h"

namespace ckpt {
namespace {

inline Double div(Double x, Double y) { return vdivq_f64(x, y); }

// The largest magnitude seen, and whether all was finite. (NaN wins every comparison here.)
struct Peak {
  Double largest = vdupq_n_f64(0);
  void see(const Wide& x) {
    for (int part = 0; part < kParts; ++part) largest = larger(largest, vabsq_f64(x.part[part]));
  }
  double magnitude() const { return vmaxvq_f64(largest); }
  bool finite() const { return magnitude() < __builtin_inf(); }
};
// Whether some number is next to, or on, one with few bits: a code, or the middle between two.
inline bool near_code(const Single& x) {
  const auto near = [](float32x4_t half) {
    const uint32x4_t low = vandq_u32(vaddq_u32(vreinterpretq_u32_f32(half), vdupq_n_u32(1)), vdupq_n_u32(0x7fff));
    return vcleq_u32(low, vdupq_n_u32(2));
  };
  return vmaxvq_u32(vorrq_u32(near(x.a), near(x.b))) != 0;
}

template <int Kind>
inline Single load_small(const void* from) {
  uint16x8_t halves;
  if constexpr (Kind == kE2M1) {
    const std::uint8_t* bytes = static_cast<const std::uint8_t*>(from);
    const uint8x8_t packed = vreinterpret_u8_u32(vdup_n_u32(load_raw<std::uint32_t>(bytes, 0)));
    const uint8x8_t codes = vzip1_u8(vand_u8(packed, vdup_n_u8(15)), vshr_n_u8(packed, 4));
    // high bytes of 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives; their low bytes are 0
    const uint8x16_t table = vcombine_u8(vcreate_u8(0x464442403e3c3800u), vcreate_u8(0xc6c4c2c0bebcb880u));
    halves = vshll_n_u8(vqtbl1_u8(table, codes), 8);
  } else {
    const uint8x8_t bytes = vld1_u8(static_cast<const std::uint8_t*>(from));
    const uint16x8_t codes = vmovl_u8(bytes);
    const uint16x8_t high = vshll_n_u8(bytes, 8);
    const uint16x8_t nan = vdupq_n_u16(0x7e00);
    if constexpr (Kind == kE5M2) {
      halves = high;
    } else if constexpr (Kind == kE5M2Fnuz) {
      const int16x8_t magnitude = vreinterpretq_s16_u16(vandq_u16(high, vdupq_n_u16(0x7f00)));
      const int16x8_t lower = vsubq_s16(magnitude, vdupq_n_s16(0x400));
      halves = vreinterpretq_u16_s16(vmaxq_s16(vshrq_n_s16(magnitude, 1), lower));
      halves = vorrq_u16(halves, vandq_u16(high, vdupq_n_u16(0x8000)));
      halves = vbslq_u16(vceqq_u16(codes, vdupq_n_u16(0x80)), nan, halves);
    } else {
      const uint16x8_t extended = vreinterpretq_u16_s16(vmovl_s8(vreinterpret_s8_u8(bytes)));
      halves = vandq_u16(vshlq_n_u16(extended, 7), vdupq_n_u16(0xbfff));
      const uint16x8_t none = Kind == kE4M3 ? vceqq_u16(vandq_u16(codes, vdupq_n_u16(0x7f)), vdupq_n_u16(0x7f)) : vceqq_u16(codes, vdupq_n_u16(0x80));
      halves = vbslq_u16(none, nan, halves);
    }
  }
  const float16x8_t x = vreinterpretq_f16_u16(halves);
  return {vcvt_f32_f16(vget_low_f16(x)), vcvt_high_f32_f16(x)};
}

// The nearest codes, and the numbers that they stand for.
template <int Kind>
inline uint16x4_t small_codes(float32x4_t x, float32x4_t* values) {
  using Format = SmallFormat<Kind>;
  constexpr int kDropped = 23 - Format::kMantissa;
  const uint32x4_t bits = vreinterpretq_u32_f32(x);
  const uint32x4_t magnitude = vandq_u32(bits, vdupq_n_u32(0x7fffffffu));
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(magnitude, kDropped), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(vaddq_u32(magnitude, vdupq_n_u32((1u << (kDropped - 1)) - 1)), odd);
  const uint32x4_t kept = vshrq_n_u32(rounded, kDropped);
  const uint32x4_t normal = vsubq_u32(kept, vdupq_n_u32(Format::kRebias));
  const float32x4_t shifted = vaddq_f32(vreinterpretq_f32_u32(magnitude), vreinterpretq_f32_u32(vdupq_n_u32(Format::kMagic)));
  const uint32x4_t small = vsubq_u32(vreinterpretq_u32_f32(shifted), vdupq_n_u32(Format::kMagic));
  const uint32x4_t denormal = vcltq_u32(magnitude, vdupq_n_u32(Format::kNormal));
  const uint32x4_t code = vbslq_u32(denormal, small, normal);
  const float32x4_t small_value = vsubq_f32(shifted, vreinterpretq_f32_u32(vdupq_n_u32(Format::kMagic)));
  const float32x4_t value = vbslq_f32(denormal, small_value, vreinterpretq_f32_u32(vshlq_n_u32(kept, kDropped)));
  *values = vbslq_f32(vdupq_n_u32(0x7fffffffu), value, x);
  uint32x4_t sign = vandq_u32(vshrq_n_u32(bits, Kind == kE2M1 ? 28 : 24), vdupq_n_u32(Format::kSign));
  if constexpr (Format::kFnuz) sign = vbicq_u32(sign, vceqzq_u32(code));
  return vmovn_u32(vorrq_u32(code, sign));
}

template <int Kind>
inline Single store_small(void* to, const Single& x) {
  Single values;
  const uint16x8_t words = vcombine_u16(small_codes<Kind>(x.a, &values.a), small_codes<Kind>(x.b, &values.b));
  if constexpr (Kind == kE2M1) {
    const uint32x4_t pairs = vreinterpretq_u32_u16(words);
    const uint16x4_t packed = vmovn_u32(vorrq_u32(pairs, vshrq_n_u32(pairs, 12)));
    const uint8x8_t bytes = vmovn_u16(vcombine_u16(packed, packed));
    store_raw<std::uint32_t>(to, 0, vget_lane_u32(vreinterpret_u32_u8(bytes), 0));
  } else {
    vst1_u8(static_cast<std::uint8_t*>(to), vmovn_u16(words));
  }
  return values;
}

}  // namespace
}  // namespace ckpt
