// What CRCs of 32 bits have in common, whatever their polynomial: arithmetic over GF(2), tables, folding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
// Clang counts the CRC instructions of SSE 4.2 on their own; GCC before 11 has no name for them.
#if defined(__clang__) && __clang_major__ >= 14
#define CKPT_SSE42 "sse4.2,crc32"
#else
#define CKPT_SSE42 "sse4.2"
#endif
#endif

namespace ckpt {

// Polynomials over GF(2) modulo P, all bit-reflected: bit 31 is x^0.
template <std::uint32_t P>
constexpr std::uint32_t crc_times_x(std::uint32_t a) {
  return (a >> 1) ^ ((a & 1) != 0 ? P : 0);
}

template <std::uint32_t P>
constexpr std::uint32_t crc_multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (std::uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = crc_times_x<P>(b);
  }
  return product;
}

// x^exponent
template <std::uint32_t P>
constexpr std::uint32_t crc_power(std::uint64_t exponent) {
  std::uint32_t result = 0x80000000u;
  std::uint32_t square = 0x40000000u;
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result = crc_multiply<P>(result, square);
    square = crc_multiply<P>(square, square);
  }
  return result;
}

// The bytes of the second part shift the first by 8 * length places; the inversions at both ends cancel.
template <std::uint32_t P>
std::uint32_t crc_join(std::uint32_t first, std::uint32_t second, std::uint64_t length) {
  return crc_multiply<P>(crc_power<P>(8 * length), first) ^ second;
}

struct CrcTables {
  std::uint32_t of[8][256];
};

template <std::uint32_t P>
constexpr CrcTables make_crc_tables() {
  CrcTables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc_times_x<P>(crc);
    tables.of[0][byte] = crc;
  }
  for (int slice = 1; slice < 8; ++slice) {
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables.of[slice - 1][byte];
      tables.of[slice][byte] = (before >> 8) ^ tables.of[0][before & 255];
    }
  }
  return tables;
}

template <std::uint32_t P>
inline constexpr CrcTables kCrcTables = make_crc_tables<P>();

inline std::uint64_t crc_load_64(const unsigned char* at) {
  std::uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <std::uint32_t P>
std::uint32_t crc_by_tables(std::uint32_t seed, const void* data, std::size_t size) {
  const auto& tables = kCrcTables<P>.of;
  const auto* at = static_cast<const unsigned char*>(data);
  std::uint32_t crc = ~seed;
  for (; size >= 8; size -= 8, at += 8) {
    const std::uint64_t word = crc_load_64(at) ^ crc;
    crc = 0;
    for (unsigned byte = 0; byte < 8; ++byte) crc ^= tables[7 - byte][(word >> (8 * byte)) & 255];
  }
  for (; size != 0; --size, ++at) crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 255];
  return ~crc;
}

#if defined(__x86_64__)

// Factors that move a 128-bit lane `bits` onward: its low half by bits + 64, its high half by bits. The
// product of two reflected polynomials comes out one place off, and a 32-bit factor sits at the low end of a
// 64-bit half: hence the 33.
struct CrcFold {
  long long low, high;
};
template <std::uint32_t P>
constexpr CrcFold crc_fold_by(std::uint64_t bits) {
  return {static_cast<long long>(static_cast<std::uint64_t>(crc_power<P>(bits + 64 - 33))),
          static_cast<long long>(static_cast<std::uint64_t>(crc_power<P>(bits - 33)))};
}

#define CKPT_FOLD_TARGET __attribute__((target("avx512f,avx512vl,avx512dq,vpclmulqdq,pclmul," CKPT_SSE42)))

CKPT_FOLD_TARGET inline __m512i crc_fold(__m512i lanes, __m512i factors, __m512i next) {
  const __m512i low = _mm512_clmulepi64_epi128(lanes, factors, 0x00);
  const __m512i high = _mm512_clmulepi64_epi128(lanes, factors, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}

// Folds the largest multiple of 256 bytes of `size` (at least 256) into `lane`, 16 bytes that are congruent
// to them; their CRC without inversions is what is left to compute. Four registers of four 128-bit lanes take
// 256 bytes a round. Returns the bytes that were taken.
template <std::uint32_t P>
CKPT_FOLD_TARGET std::size_t crc_fold_all(std::uint32_t seed, const void* data, std::size_t size, std::uint64_t lane[2]) {
  constexpr CrcFold k256 = crc_fold_by<P>(2048);
  constexpr CrcFold k64 = crc_fold_by<P>(512);
  constexpr CrcFold k16 = crc_fold_by<P>(128);
  const auto* at = static_cast<const unsigned char*>(data);
  const __m512i by_256 = _mm512_set_epi64(k256.high, k256.low, k256.high, k256.low, k256.high, k256.low, k256.high, k256.low);
  const __m512i by_64 = _mm512_set_epi64(k64.high, k64.low, k64.high, k64.low, k64.high, k64.low, k64.high, k64.low);
  __m512i x0 = _mm512_xor_si512(_mm512_loadu_si512(at), _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(~seed))));
  __m512i x1 = _mm512_loadu_si512(at + 64);
  __m512i x2 = _mm512_loadu_si512(at + 128);
  __m512i x3 = _mm512_loadu_si512(at + 192);
  std::size_t left = size - 256;
  for (at += 256; left >= 256; at += 256, left -= 256) {
    x0 = crc_fold(x0, by_256, _mm512_loadu_si512(at));
    x1 = crc_fold(x1, by_256, _mm512_loadu_si512(at + 64));
    x2 = crc_fold(x2, by_256, _mm512_loadu_si512(at + 128));
    x3 = crc_fold(x3, by_256, _mm512_loadu_si512(at + 192));
  }
  x0 = crc_fold(crc_fold(crc_fold(x0, by_64, x1), by_64, x2), by_64, x3);
  alignas(64) std::uint64_t words[8];
  _mm512_store_si512(words, x0);
  const __m128i by_16 = _mm_set_epi64x(k16.high, k16.low);
  __m128i last = _mm_load_si128(reinterpret_cast<const __m128i*>(words));
  for (int i = 2; i < 8; i += 2) {
    const __m128i next = _mm_load_si128(reinterpret_cast<const __m128i*>(words + i));
    last = _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(last, by_16, 0x00), _mm_clmulepi64_si128(last, by_16, 0x11)), next);
  }
  lane[0] = static_cast<std::uint64_t>(_mm_cvtsi128_si64(last));
  lane[1] = static_cast<std::uint64_t>(_mm_extract_epi64(last, 1));
  return size - left;
}

#endif

}  // namespace ckpt
