// Op layer for AArch64 NEON: 8 elements a step in four float64 vectors. Multiply and add are separate
// instructions, never vfmaq.
#pragma once

#include <arm_neon.h>

#include "scalar_convert.h"

namespace ckpt {
namespace {

constexpr std::size_t kStep = 8;
constexpr int kParts = 4;

using Double = float64x2_t;
struct Wide {
  Double part[kParts];
};
struct Single {
  float32x4_t a, b;  // elements 0..3 and 4..7, or the even and the odd ones
};

inline Double broadcast(double value) { return vdupq_n_f64(value); }
inline Double mul(Double x, Double y) { return vmulq_f64(x, y); }
inline Double add(Double x, Double y) { return vaddq_f64(x, y); }
inline Double sub(Double x, Double y) { return vsubq_f64(x, y); }
inline Double larger(Double x, Double y) { return vmaxq_f64(x, y); }
inline Double fused(Double x, Double y, Double z) { return vfmaq_f64(z, x, y); }
inline bool any_nan(Double x) {
  const uint64x2_t ordered = vceqq_f64(x, x);
  return (vgetq_lane_u64(ordered, 0) & vgetq_lane_u64(ordered, 1)) == 0;
}

inline Wide widen(const Single& x) {
  return {{vcvt_f64_f32(vget_low_f32(x.a)), vcvt_high_f64_f32(x.a), vcvt_f64_f32(vget_low_f32(x.b)), vcvt_high_f64_f32(x.b)}};
}

inline Single narrow(const Wide& x) {
  return {vcvt_high_f32_f64(vcvt_f32_f64(x.part[0]), x.part[1]), vcvt_high_f32_f64(vcvt_f32_f64(x.part[2]), x.part[3])};
}

inline uint16x8_t load_16(const void* from) { return vreinterpretq_u16_u8(vld1q_u8(static_cast<const std::uint8_t*>(from))); }
inline void store_16(void* to, uint16x8_t x) { vst1q_u8(static_cast<std::uint8_t*>(to), vreinterpretq_u8_u16(x)); }

inline Single load_bfloat_even_odd(const void* from) {
  const uint32x4_t both = vreinterpretq_u32_u16(load_16(from));
  return {vreinterpretq_f32_u32(vshlq_n_u32(both, 16)), vreinterpretq_f32_u32(vandq_u32(both, vdupq_n_u32(0xffff0000u)))};
}

inline Single load_bfloat(const void* from) {
  const uint16x8_t x = load_16(from);
  return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(x), 16)), vreinterpretq_f32_u32(vshll_high_n_u16(x, 16))};
}

inline Single load_half(const void* from) {
  const float16x8_t x = vreinterpretq_f16_u16(load_16(from));
  return {vcvt_f32_f16(vget_low_f16(x)), vcvt_high_f32_f16(x)};
}

inline Single load_single(const void* from) {
  const std::uint8_t* at = static_cast<const std::uint8_t*>(from);
  return {vreinterpretq_f32_u8(vld1q_u8(at)), vreinterpretq_f32_u8(vld1q_u8(at + 16))};
}

inline Wide load_single_wide(const void* from) { return widen(load_single(from)); }

inline Wide load_double(const void* from) {
  const std::uint8_t* at = static_cast<const std::uint8_t*>(from);
  return {{vreinterpretq_f64_u8(vld1q_u8(at)), vreinterpretq_f64_u8(vld1q_u8(at + 16)), vreinterpretq_f64_u8(vld1q_u8(at + 32)),
           vreinterpretq_f64_u8(vld1q_u8(at + 48))}};
}

// The largest magnitude seen, as integer bits of float32 (a NaN is larger than infinity).
struct Worst {
  uint32x4_t bits = vdupq_n_u32(0);
  void see(const Single& x) {
    const uint32x4_t magnitude = vdupq_n_u32(0x7fffffffu);
    bits = vmaxq_u32(bits, vandq_u32(vreinterpretq_u32_f32(x.a), magnitude));
    bits = vmaxq_u32(bits, vandq_u32(vreinterpretq_u32_f32(x.b), magnitude));
  }
  bool reaches(std::uint32_t limit) const { return vmaxvq_u32(bits) >= limit; }
};

inline uint32x4_t round_to_bfloat(float32x4_t x) {
  const uint32x4_t bits = vreinterpretq_u32_f32(x);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  return vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
}

inline void store_bfloat_even_odd(void* to, const Single& x) {
  const uint32x4_t even = vshrq_n_u32(round_to_bfloat(x.a), 16);
  store_16(to, vreinterpretq_u16_u32(vbslq_u32(vdupq_n_u32(0xffff0000u), round_to_bfloat(x.b), even)));
}

inline void store_bfloat(void* to, const Single& x) {
  store_16(to, vshrn_high_n_u32(vshrn_n_u32(round_to_bfloat(x.a), 16), round_to_bfloat(x.b), 16));
}

inline void store_half(void* to, const Single& x) {
  store_16(to, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(x.a), x.b)));
}

inline void store_single(void* to, const Single& x) {
  std::uint8_t* at = static_cast<std::uint8_t*>(to);
  vst1q_u8(at, vreinterpretq_u8_f32(x.a));
  vst1q_u8(at + 16, vreinterpretq_u8_f32(x.b));
}

inline void store_double(void* to, const Wide& x) {
  std::uint8_t* at = static_cast<std::uint8_t*>(to);
  for (int i = 0; i < kParts; ++i) vst1q_u8(at + 16 * i, vreinterpretq_u8_f64(x.part[i]));
}

}  // namespace
}  // namespace ckpt
