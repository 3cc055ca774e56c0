// Small floats in AVX2: 16 codes a step, by way of float16 as in quant_ops_avx512.h.
#pragma once

#include "ops_avx2.h"
#include "small_float.h"

namespace ckpt {
namespace {

inline Double div(Double x, Double y) { return _mm256_div_pd(x, y); }

// The largest magnitude seen, and whether all was finite.
struct Peak {
  Double largest = _mm256_setzero_pd();
  Double nan = _mm256_setzero_pd();
  void see(const Wide& x) {
    for (int part = 0; part < kParts; part += 2) {
      nan = _mm256_or_pd(nan, _mm256_cmp_pd(x.part[part], x.part[part + 1], _CMP_UNORD_Q));
      largest = larger(largest, _mm256_andnot_pd(_mm256_set1_pd(-0.0), x.part[part]));
      largest = larger(largest, _mm256_andnot_pd(_mm256_set1_pd(-0.0), x.part[part + 1]));
    }
  }
  double magnitude() const {
    const __m128d two = _mm_max_pd(_mm256_castpd256_pd128(largest), _mm256_extractf128_pd(largest, 1));
    return _mm_cvtsd_f64(_mm_max_sd(two, _mm_unpackhi_pd(two, two)));
  }
  bool finite() const { return _mm256_movemask_pd(nan) == 0 && magnitude() < __builtin_inf(); }
};
// Whether some number is next to, or on, one with few bits: a code, or the middle between two.
inline bool near_code(const Single& x) {
  const auto near = [](__m256 half) {
    const __m256i low = _mm256_and_si256(_mm256_add_epi32(_mm256_castps_si256(half), _mm256_set1_epi32(1)), _mm256_set1_epi32(0x7fff));
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(3), low);
  };
  return _mm256_movemask_epi8(_mm256_or_si256(near(x.a), near(x.b))) != 0;
}

template <int Kind>
inline Single load_small(const void* from) {
  __m256i halves;
  if constexpr (Kind == kE2M1) {
    const __m128i packed = _mm_loadl_epi64(static_cast<const __m128i*>(from));
    const __m128i low = _mm_and_si128(packed, _mm_set1_epi8(15));
    const __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 4), _mm_set1_epi8(15));
    // high bytes of 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives; their low bytes are 0
    const __m128i table = _mm_set_epi64x(static_cast<long long>(0xc6c4c2c0bebcb880u), static_cast<long long>(0x464442403e3c3800u));
    halves = _mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_shuffle_epi8(table, _mm_unpacklo_epi8(low, high))), 8);
  } else {
    const __m256i codes = _mm256_cvtepu8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(from)));
    const __m256i high = _mm256_slli_epi16(codes, 8);
    const __m256i nan = _mm256_set1_epi16(0x7e00);
    if constexpr (Kind == kE5M2) {
      halves = high;
    } else if constexpr (Kind == kE5M2Fnuz) {
      const __m256i magnitude = _mm256_and_si256(high, _mm256_set1_epi16(0x7f00));
      const __m256i lower = _mm256_sub_epi16(magnitude, _mm256_set1_epi16(0x400));
      halves = _mm256_max_epi16(_mm256_srli_epi16(magnitude, 1), lower);
      halves = _mm256_or_si256(halves, _mm256_and_si256(high, _mm256_set1_epi16(static_cast<short>(0x8000))));
      halves = _mm256_blendv_epi8(halves, nan, _mm256_cmpeq_epi16(codes, _mm256_set1_epi16(0x80)));
    } else {
      const __m256i extended = _mm256_cvtepi8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(from)));
      halves = _mm256_and_si256(_mm256_slli_epi16(extended, 7), _mm256_set1_epi16(static_cast<short>(0xbfff)));
      const __m256i least = _mm256_set1_epi16(static_cast<short>(0xff80));
      const __m256i none = Kind == kE4M3 ? _mm256_cmpeq_epi16(_mm256_or_si256(extended, least), _mm256_set1_epi16(-1))
                                         : _mm256_cmpeq_epi16(extended, least);
      halves = _mm256_blendv_epi8(halves, nan, none);
    }
  }
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(halves)), _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
}

// The nearest codes, and the numbers that they stand for.
template <int Kind>
inline __m256i small_codes(__m256 x, __m256* values) {
  using Format = SmallFormat<Kind>;
  constexpr int kDropped = 23 - Format::kMantissa;
  const auto all = [](std::uint32_t value) { return _mm256_set1_epi32(static_cast<int>(value)); };
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i magnitude = _mm256_and_si256(bits, all(0x7fffffffu));
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(magnitude, kDropped), all(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(magnitude, all((1u << (kDropped - 1)) - 1)), odd);
  const __m256i kept = _mm256_srli_epi32(rounded, kDropped);
  const __m256i normal = _mm256_sub_epi32(kept, all(Format::kRebias));
  const __m256 shifted = _mm256_add_ps(_mm256_castsi256_ps(magnitude), _mm256_castsi256_ps(all(Format::kMagic)));
  const __m256i small = _mm256_sub_epi32(_mm256_castps_si256(shifted), all(Format::kMagic));
  const __m256i denormal = _mm256_cmpgt_epi32(all(Format::kNormal), magnitude);
  const __m256i code = _mm256_blendv_epi8(normal, small, denormal);
  const __m256 small_value = _mm256_sub_ps(shifted, _mm256_castsi256_ps(all(Format::kMagic)));
  const __m256 value = _mm256_blendv_ps(_mm256_castsi256_ps(_mm256_slli_epi32(kept, kDropped)), small_value, _mm256_castsi256_ps(denormal));
  *values = _mm256_or_ps(value, _mm256_castsi256_ps(_mm256_andnot_si256(all(0x7fffffffu), bits)));
  const __m256i sign = _mm256_and_si256(_mm256_srli_epi32(bits, Kind == kE2M1 ? 28 : 24), all(Format::kSign));
  if constexpr (Format::kFnuz) return _mm256_or_si256(code, _mm256_andnot_si256(_mm256_cmpeq_epi32(code, _mm256_setzero_si256()), sign));
  return _mm256_or_si256(code, sign);
}

template <int Kind>
inline Single store_small(void* to, const Single& x) {
  Single values;
  // packus works within 128-bit lanes; the permutation puts its quarters in order
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(small_codes<Kind>(x.a, &values.a), small_codes<Kind>(x.b, &values.b)), 0xd8);
  if constexpr (Kind == kE2M1) {
    const __m256i pairs = _mm256_and_si256(_mm256_or_si256(words, _mm256_srli_epi32(words, 12)), _mm256_set1_epi32(0xff));
    const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    _mm_storel_epi64(static_cast<__m128i*>(to), _mm_packus_epi16(packed, packed));
  } else {
    _mm_storeu_si128(static_cast<__m128i*>(to), _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
  }
  return values;
}

}  // namespace
}  // namespace ckpt
