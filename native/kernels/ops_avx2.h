// Op layer for AVX2 with F16C: 16 elements a step in four float64 vectors. No FMA: leaving -mfma out keeps
// the compiler from fusing.
#pragma once

#include <immintrin.h>

#include "scalar_convert.h"

namespace ckpt {
namespace {

constexpr std::size_t kStep = 16;
constexpr int kParts = 4;

using Double = __m256d;
struct Wide {
  Double part[kParts];
};
struct Single {
  __m256 a, b;  // elements 0..7 and 8..15, or the even and the odd ones
};

inline Double broadcast(double value) { return _mm256_set1_pd(value); }
inline Double mul(Double x, Double y) { return _mm256_mul_pd(x, y); }
inline Double add(Double x, Double y) { return _mm256_add_pd(x, y); }
inline Double sub(Double x, Double y) { return _mm256_sub_pd(x, y); }
inline Double larger(Double x, Double y) { return _mm256_max_pd(x, y); }
inline Double fused(Double x, Double y, Double z) { return _mm256_add_pd(_mm256_mul_pd(x, y), z); }
inline bool any_nan(Double x) { return _mm256_movemask_pd(_mm256_cmp_pd(x, x, _CMP_UNORD_Q)) != 0; }

inline Double widen_from_memory(const float* from) {
  Double wide;
  __asm__("vcvtps2pd %1, %0" : "=x"(wide) : "m"(*reinterpret_cast<const __m128_u*>(from)));
  return wide;
}

// Through L1, for the reason given in ops_avx512.h.
inline Wide widen(const Single& x) {
  alignas(32) float scratch[kStep];
  _mm256_store_ps(scratch, x.a);
  _mm256_store_ps(scratch + 8, x.b);
  return {{widen_from_memory(scratch), widen_from_memory(scratch + 4), widen_from_memory(scratch + 8), widen_from_memory(scratch + 12)}};
}

inline Single narrow(const Wide& x) {
  return {_mm256_set_m128(_mm256_cvtpd_ps(x.part[1]), _mm256_cvtpd_ps(x.part[0])),
          _mm256_set_m128(_mm256_cvtpd_ps(x.part[3]), _mm256_cvtpd_ps(x.part[2]))};
}

inline Single load_bfloat_even_odd(const void* from) {
  const __m256i both = _mm256_loadu_si256(static_cast<const __m256i*>(from));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(both, 16)),
          _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32(static_cast<int>(0xffff0000u))))};
}

inline Single load_bfloat(const void* from) {
  const auto half = [](const void* at) {
    const __m128i narrow16 = _mm_loadu_si128(static_cast<const __m128i*>(at));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(narrow16), 16));
  };
  return {half(from), half(static_cast<const char*>(from) + 16)};
}

inline Single load_half(const void* from) {
  const auto half = [](const void* at) { return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(at))); };
  return {half(from), half(static_cast<const char*>(from) + 16)};
}

inline Wide load_single_wide(const void* from) {
  const float* at = static_cast<const float*>(from);
  return {{_mm256_cvtps_pd(_mm_loadu_ps(at)), _mm256_cvtps_pd(_mm_loadu_ps(at + 4)), _mm256_cvtps_pd(_mm_loadu_ps(at + 8)),
           _mm256_cvtps_pd(_mm_loadu_ps(at + 12))}};
}

inline Wide load_double(const void* from) {
  const double* at = static_cast<const double*>(from);
  return {{_mm256_loadu_pd(at), _mm256_loadu_pd(at + 4), _mm256_loadu_pd(at + 8), _mm256_loadu_pd(at + 12)}};
}

inline Single load_single(const void* from) {
  const float* at = static_cast<const float*>(from);
  return {_mm256_loadu_ps(at), _mm256_loadu_ps(at + 8)};
}

// The largest magnitude seen, as integer bits of float32 (a NaN is larger than infinity).
struct Worst {
  __m256i bits = _mm256_setzero_si256();
  void see(const Single& x) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    bits = _mm256_max_epu32(bits, _mm256_and_si256(_mm256_castps_si256(x.a), magnitude));
    bits = _mm256_max_epu32(bits, _mm256_and_si256(_mm256_castps_si256(x.b), magnitude));
  }
  bool reaches(std::uint32_t limit) const {  // both sides are below 2^31, so a signed comparison does
    const __m256i above = _mm256_cmpgt_epi32(bits, _mm256_set1_epi32(static_cast<int>(limit - 1)));
    return _mm256_movemask_epi8(above) != 0;
  }
};

inline __m256i round_to_bfloat(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
}

inline void store_bfloat_even_odd(void* to, const Single& x) {
  const __m256i even = _mm256_srli_epi32(round_to_bfloat(x.a), 16);
  _mm256_storeu_si256(static_cast<__m256i*>(to), _mm256_blend_epi16(even, round_to_bfloat(x.b), 0xaa));
}

inline void store_bfloat(void* to, const Single& x) {
  const __m256i a = _mm256_srli_epi32(round_to_bfloat(x.a), 16);
  const __m256i b = _mm256_srli_epi32(round_to_bfloat(x.b), 16);
  // packus works within 128-bit lanes; the permutation puts its quarters in order
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
  _mm256_storeu_si256(static_cast<__m256i*>(to), packed);
}

inline void store_half(void* to, const Single& x) {
  const auto half = [](void* at, __m256 value) {
    _mm_storeu_si128(static_cast<__m128i*>(at), _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  };
  half(to, x.a);
  half(static_cast<char*>(to) + 16, x.b);
}

inline void store_single(void* to, const Single& x) {
  _mm256_storeu_ps(static_cast<float*>(to), x.a);
  _mm256_storeu_ps(static_cast<float*>(to) + 8, x.b);
}

inline void store_double(void* to, const Wide& x) {
  for (int i = 0; i < kParts; ++i) _mm256_storeu_pd(static_cast<double*>(to) + 4 * i, x.part[i]);
}

}  // namespace
}  // namespace ckpt
