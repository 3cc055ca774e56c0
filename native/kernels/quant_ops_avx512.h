// Small floats in AVX-512: 32 codes a step. They become halves (float16 has room for every one of them, up to
// a power of two), which the processor widens.
#pragma once

#include "ops_avx512.h"
#include "small_float.h"

namespace ckpt {
namespace {

inline Double div(Double x, Double y) { return _mm512_div_pd(x, y); }

// The largest magnitude seen, and whether all was finite.
struct Peak {
  Double largest = _mm512_setzero_pd();
  __mmask8 nan = 0;
  void see(const Wide& x) {
    constexpr int kLargestMagnitude = 0x0b;
    for (int part = 0; part < kParts; part += 2) {
      nan |= _mm512_cmp_pd_mask(x.part[part], x.part[part + 1], _CMP_UNORD_Q);
      largest = _mm512_range_pd(largest, x.part[part], kLargestMagnitude);
      largest = _mm512_range_pd(largest, x.part[part + 1], kLargestMagnitude);
    }
  }
  double magnitude() const { return _mm512_reduce_max_pd(largest); }
  bool finite() const { return nan == 0 && magnitude() < __builtin_inf(); }
};
// Whether some number is next to, or on, one with few bits: a code, or the middle between two.
inline bool near_code(const Single& x) {
  const auto near = [](__m512 half) {
    const __m512i low = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(half), _mm512_set1_epi32(1)), _mm512_set1_epi32(0x7fff));
    return _mm512_cmple_epu32_mask(low, _mm512_set1_epi32(2));
  };
  return (near(x.a) | near(x.b)) != 0;
}

template <int Kind>
inline Single load_small(const void* from) {
  __m512i halves;
  if constexpr (Kind == kE2M1) {
    const __m128i packed = _mm_loadu_si128(static_cast<const __m128i*>(from));
    const __m128i low = _mm_and_si128(packed, _mm_set1_epi8(15));
    const __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 4), _mm_set1_epi8(15));
    const __m256i codes = _mm256_set_m128i(_mm_unpackhi_epi8(low, high), _mm_unpacklo_epi8(low, high));
    // high bytes of 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives; their low bytes are 0
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_set_epi64x(static_cast<long long>(0xc6c4c2c0bebcb880u), static_cast<long long>(0x464442403e3c3800u)));
    halves = _mm512_slli_epi16(_mm512_cvtepu8_epi16(_mm256_shuffle_epi8(table, codes)), 8);
  } else {
    const __m512i codes = _mm512_cvtepu8_epi16(_mm256_loadu_si256(static_cast<const __m256i*>(from)));
    const __m512i high = _mm512_slli_epi16(codes, 8);
    const __m512i nan = _mm512_set1_epi16(0x7e00);
    if constexpr (Kind == kE5M2) {
      halves = high;
    } else if constexpr (Kind == kE5M2Fnuz) {
      // Half the value of the same bits as a half: one less in the exponent, or one place right where that
      // would go below 1.
      const __m512i magnitude = _mm512_and_si512(high, _mm512_set1_epi16(0x7f00));
      const __m512i lower = _mm512_sub_epi16(magnitude, _mm512_set1_epi16(0x400));
      halves = _mm512_max_epi16(_mm512_srli_epi16(magnitude, 1), lower);
      halves = _mm512_or_si512(halves, _mm512_and_si512(high, _mm512_set1_epi16(static_cast<short>(0x8000))));
      halves = _mm512_mask_mov_epi16(halves, _mm512_cmpeq_epi16_mask(codes, _mm512_set1_epi16(0x80)), nan);
    } else {
      // Signs extended, seven places left: the sign stands in two bits, of which the lower is no part of the
      // exponent.
      const __m512i extended = _mm512_cvtepi8_epi16(_mm256_loadu_si256(static_cast<const __m256i*>(from)));
      halves = _mm512_and_si512(_mm512_slli_epi16(extended, 7), _mm512_set1_epi16(static_cast<short>(0xbfff)));
      const __m512i ones = _mm512_set1_epi16(-1);
      const __mmask32 none = Kind == kE4M3 ? _mm512_cmpeq_epi16_mask(_mm512_or_si512(extended, _mm512_set1_epi16(static_cast<short>(0xff80))), ones)
                                           : _mm512_cmpeq_epi16_mask(extended, _mm512_set1_epi16(static_cast<short>(0xff80)));
      halves = _mm512_mask_mov_epi16(halves, none, nan);
    }
  }
  return {_mm512_cvtph_ps(_mm512_castsi512_si256(halves)), _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1))};
}

// The nearest codes, and the numbers that they stand for.
template <int Kind>
inline __m512i small_codes(__m512 x, __m512* values) {
  using Format = SmallFormat<Kind>;
  constexpr int kDropped = 23 - Format::kMantissa;
  const auto all = [](std::uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); };
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i magnitude = _mm512_and_si512(bits, all(0x7fffffffu));
  constexpr std::uint32_t kHalf = 1u << (kDropped - 1);
  const __mmask16 odd = _mm512_test_epi32_mask(magnitude, all(2 * kHalf));
  const __m512i rounded = _mm512_mask_add_epi32(_mm512_add_epi32(magnitude, all(kHalf - 1)), odd, magnitude, all(kHalf));
  const __m512i kept = _mm512_srli_epi32(rounded, kDropped);
  const __m512i normal = _mm512_sub_epi32(kept, all(Format::kRebias));
  const __m512 shifted = _mm512_add_ps(_mm512_castsi512_ps(magnitude), _mm512_castsi512_ps(all(Format::kMagic)));
  const __mmask16 denormal = _mm512_cmplt_epu32_mask(magnitude, all(Format::kNormal));
  const __m512i code = _mm512_mask_sub_epi32(normal, denormal, _mm512_castps_si512(shifted), all(Format::kMagic));
  const __m512i normal_value = _mm512_slli_epi32(kept, kDropped);
  const __m512 value = _mm512_mask_sub_ps(_mm512_castsi512_ps(normal_value), denormal, shifted, _mm512_castsi512_ps(all(Format::kMagic)));
  *values = _mm512_or_ps(value, _mm512_castsi512_ps(_mm512_andnot_si512(all(0x7fffffffu), bits)));
  const __m512i sign = _mm512_and_si512(_mm512_srli_epi32(bits, Kind == kE2M1 ? 28 : 24), all(Format::kSign));
  if constexpr (Format::kFnuz) return _mm512_mask_or_epi32(code, _mm512_test_epi32_mask(code, code), code, sign);
  return _mm512_or_si512(code, sign);
}

template <int Kind>
inline Single store_small(void* to, const Single& x) {
  Single values;
  const auto half = [](void* at, __m512 value, __m512* stored) {
    const __m512i codes = small_codes<Kind>(value, stored);
    if constexpr (Kind == kE2M1) {
      _mm_storel_epi64(static_cast<__m128i*>(at), _mm512_cvtepi64_epi8(_mm512_or_si512(codes, _mm512_srli_epi64(codes, 28))));
    } else {
      _mm_storeu_si128(static_cast<__m128i*>(at), _mm512_cvtepi32_epi8(codes));
    }
  };
  half(to, x.a, &values.a);
  half(static_cast<char*>(to) + (Kind == kE2M1 ? 8 : 16), x.b, &values.b);
  return values;
}

}  // namespace
}  // namespace ckpt
