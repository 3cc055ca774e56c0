// Op layer for AVX-512 (F, BW, DQ, VL): 32 elements a step in four float64 vectors.
//
// Zmm arithmetic runs on two ports (0 and 5), so what counts is the number of such operations an element
// needs. Widening float32 from a register costs two of them (a shuffle and a conversion) and an extract for
// the upper half; from memory it costs one. So float32 vectors go through 128 bytes of L1: stores and loads
// have ports of their own.
#pragma once

#include <immintrin.h>

#include "scalar_convert.h"

namespace ckpt {
namespace {

constexpr std::size_t kStep = 32;
constexpr int kParts = 4;

using Double = __m512d;
struct Wide {
  Double part[kParts];
};
struct Single {
  __m512 a, b;  // elements 0..15 and 16..31, or the even and the odd ones
};

inline Double broadcast(double value) { return _mm512_set1_pd(value); }
inline Double mul(Double x, Double y) { return _mm512_mul_pd(x, y); }
inline Double add(Double x, Double y) { return _mm512_add_pd(x, y); }
inline Double sub(Double x, Double y) { return _mm512_sub_pd(x, y); }
inline Double larger(Double x, Double y) { return _mm512_max_pd(x, y); }
inline Double fused(Double x, Double y, Double z) { return _mm512_fmadd_pd(x, y, z); }
inline bool any_nan(Double x) { return _mm512_cmp_pd_mask(x, x, _CMP_UNORD_Q) != 0; }

inline Double widen_from_memory(const float* from) {
  Double wide;  // asm: the compiler would otherwise see through the store and bring the shuffles back
  __asm__("vcvtps2pd %1, %0" : "=v"(wide) : "m"(*reinterpret_cast<const __m256_u*>(from)));
  return wide;
}

inline Wide widen(const Single& x) {
  alignas(64) float scratch[kStep];
  _mm512_store_ps(scratch, x.a);
  _mm512_store_ps(scratch + 16, x.b);
  return {{widen_from_memory(scratch), widen_from_memory(scratch + 8), widen_from_memory(scratch + 16), widen_from_memory(scratch + 24)}};
}

inline Single narrow(const Wide& x) {
  const auto join = [](Double low, Double high) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
  };
  return {join(x.part[0], x.part[1]), join(x.part[2], x.part[3])};
}

inline Single load_bfloat_even_odd(const void* from) {
  const __m512i both = _mm512_loadu_si512(from);
  return {_mm512_castsi512_ps(_mm512_slli_epi32(both, 16)),
          _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}

inline Single load_bfloat(const void* from) {
  const auto half = [](const void* at) {
    const __m256i narrow16 = _mm256_loadu_si256(static_cast<const __m256i*>(at));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow16), 16));
  };
  return {half(from), half(static_cast<const char*>(from) + 32)};
}

inline Single load_half(const void* from) {
  const auto half = [](const void* at) { return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(at))); };
  return {half(from), half(static_cast<const char*>(from) + 32)};
}

inline Single load_single(const void* from) {
  return {_mm512_loadu_ps(from), _mm512_loadu_ps(static_cast<const char*>(from) + 64)};
}

inline Wide load_single_wide(const void* from) {
  const float* at = static_cast<const float*>(from);
  return {{widen_from_memory(at), widen_from_memory(at + 8), widen_from_memory(at + 16), widen_from_memory(at + 24)}};
}

inline Wide load_double(const void* from) {
  const char* at = static_cast<const char*>(from);
  return {{_mm512_loadu_pd(at), _mm512_loadu_pd(at + 64), _mm512_loadu_pd(at + 128), _mm512_loadu_pd(at + 192)}};
}

// The largest magnitude seen, as integer bits of float32 (a NaN is larger than infinity).
struct Worst {
  __m512i bits = _mm512_setzero_si512();
  void see(const Single& x) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    bits = _mm512_max_epu32(bits, _mm512_and_si512(_mm512_castps_si512(x.a), magnitude));
    bits = _mm512_max_epu32(bits, _mm512_and_si512(_mm512_castps_si512(x.b), magnitude));
  }
  bool reaches(std::uint32_t limit) const { return _mm512_cmpge_epu32_mask(bits, _mm512_set1_epi32(static_cast<int>(limit))) != 0; }
};

inline __m512i round_to_bfloat(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  const __m512i below = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  return _mm512_mask_add_epi32(below, odd, bits, _mm512_set1_epi32(0x8000));
}

inline void store_bfloat_even_odd(void* to, const Single& x) {
  const __m512i even = _mm512_srli_epi32(round_to_bfloat(x.a), 16);
  _mm512_storeu_si512(to, _mm512_mask_blend_epi16(0xaaaaaaaau, even, round_to_bfloat(x.b)));
}

inline void store_bfloat(void* to, const Single& x) {
  const auto half = [](void* at, __m512 value) {
    const __m256i packed = _mm512_cvtepi32_epi16(_mm512_srli_epi32(round_to_bfloat(value), 16));
    _mm256_storeu_si256(static_cast<__m256i*>(at), packed);
  };
  half(to, x.a);
  half(static_cast<char*>(to) + 32, x.b);
}

inline void store_half(void* to, const Single& x) {
  const auto half = [](void* at, __m512 value) {
    _mm256_storeu_si256(static_cast<__m256i*>(at), _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  };
  half(to, x.a);
  half(static_cast<char*>(to) + 32, x.b);
}

inline void store_single(void* to, const Single& x) {
  _mm512_storeu_ps(to, x.a);
  _mm512_storeu_ps(static_cast<char*>(to) + 64, x.b);
}

inline void store_double(void* to, const Wide& x) {
  for (int i = 0; i < kParts; ++i) _mm512_storeu_pd(static_cast<char*>(to) + 64 * i, x.part[i]);
}

}  // namespace
}  // namespace ckpt
