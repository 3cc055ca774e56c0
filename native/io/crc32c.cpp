#include "crc32c.h"

#include <cstring>

#include "../cpu/features.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define CKPT_CRC_TARGET __attribute__((target("sse4.2")))
#elif defined(__aarch64__)
#include <arm_acle.h>
#define CKPT_CRC_TARGET __attribute__((target("+crc")))
#endif

namespace ckpt {
namespace {

// Polynomials over GF(2) modulo the Castagnoli polynomial, bit-reflected: bit 31 is x^0.
constexpr std::uint32_t kPolynomial = 0x82f63b78u;
constexpr std::uint32_t kOne = 0x80000000u;

constexpr std::uint32_t times_x(std::uint32_t a) { return (a >> 1) ^ ((a & 1) != 0 ? kPolynomial : 0); }

constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (std::uint32_t bit = kOne; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = times_x(b);
  }
  return product;
}

// x^exponent
constexpr std::uint32_t power(std::uint64_t exponent) {
  std::uint32_t result = kOne;
  std::uint32_t square = kOne >> 1;
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result = multiply(result, square);
    square = multiply(square, square);
  }
  return result;
}

struct Tables {
  std::uint32_t of[8][256];
};

constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = times_x(crc);
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

constexpr Tables kTables = make_tables();

std::uint64_t load_64(const unsigned char* at) {
  std::uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::uint32_t by_tables(std::uint32_t seed, const void* data, std::size_t size) {
  const auto* at = static_cast<const unsigned char*>(data);
  std::uint32_t crc = ~seed;
  for (; size >= 8; size -= 8, at += 8) {
    const std::uint64_t word = load_64(at) ^ crc;
    crc = 0;
    for (unsigned byte = 0; byte < 8; ++byte) crc ^= kTables.of[7 - byte][(word >> (8 * byte)) & 255];
  }
  for (; size != 0; --size, ++at) crc = (crc >> 8) ^ kTables.of[0][(crc ^ *at) & 255];
  return ~crc;
}

#if defined(CKPT_CRC_TARGET)

#if defined(__x86_64__)
CKPT_CRC_TARGET inline std::uint64_t step_64(std::uint64_t crc, std::uint64_t word) { return _mm_crc32_u64(crc, word); }
CKPT_CRC_TARGET inline std::uint64_t step_8(std::uint64_t crc, unsigned char byte) {
  return _mm_crc32_u8(static_cast<std::uint32_t>(crc), byte);
}
#else
CKPT_CRC_TARGET inline std::uint64_t step_64(std::uint64_t crc, std::uint64_t word) {
  return __crc32cd(static_cast<std::uint32_t>(crc), word);
}
CKPT_CRC_TARGET inline std::uint64_t step_8(std::uint64_t crc, unsigned char byte) { return __crc32cb(static_cast<std::uint32_t>(crc), byte); }
#endif

// The instruction has a latency of three and a throughput of one, so three lanes run side by side and are
// joined by a multiplication each.
CKPT_CRC_TARGET std::uint32_t by_instruction(std::uint32_t seed, const void* data, std::size_t size) {
  constexpr std::size_t kLane = 4096;
  constexpr std::uint32_t kShift = power(8 * kLane);
  const auto* at = static_cast<const unsigned char*>(data);
  std::uint64_t crc = ~seed;
  for (; size >= 3 * kLane; size -= 3 * kLane, at += 3 * kLane) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t i = 0; i < kLane; i += 8) {
      crc = step_64(crc, load_64(at + i));
      second = step_64(second, load_64(at + kLane + i));
      third = step_64(third, load_64(at + 2 * kLane + i));
    }
    crc = multiply(kShift, static_cast<std::uint32_t>(crc)) ^ second;
    crc = multiply(kShift, static_cast<std::uint32_t>(crc)) ^ third;
  }
  for (; size >= 8; size -= 8, at += 8) crc = step_64(crc, load_64(at));
  for (; size != 0; --size, ++at) crc = step_8(crc, *at);
  return ~static_cast<std::uint32_t>(crc);
}

#endif

#if defined(__x86_64__)

// Factors that move a 128-bit lane `bits` onward: its low half by bits + 64, its high half by bits. The
// product of two reflected polynomials comes out one place off, and a 32-bit factor sits at the low end of a
// 64-bit half: hence the 33.
struct Fold {
  long long low, high;
};
constexpr Fold fold_by(std::uint64_t bits) {
  return {static_cast<long long>(static_cast<std::uint64_t>(power(bits + 64 - 33))),
          static_cast<long long>(static_cast<std::uint64_t>(power(bits - 33)))};
}

#define CKPT_FOLD_TARGET __attribute__((target("avx512f,avx512vl,avx512dq,vpclmulqdq,pclmul,sse4.2")))

CKPT_FOLD_TARGET inline __m512i fold(__m512i lanes, __m512i factors, __m512i next) {
  const __m512i low = _mm512_clmulepi64_epi128(lanes, factors, 0x00);
  const __m512i high = _mm512_clmulepi64_epi128(lanes, factors, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}

// Four registers of four 128-bit lanes fold 256 bytes a round; the last lane, congruent to the whole, goes
// through the CRC instruction.
CKPT_FOLD_TARGET std::uint32_t by_folding(std::uint32_t seed, const void* data, std::size_t size) {
  constexpr Fold k256 = fold_by(2048);
  constexpr Fold k64 = fold_by(512);
  constexpr Fold k16 = fold_by(128);
  if (size < 512) return by_instruction(seed, data, size);
  const auto* at = static_cast<const unsigned char*>(data);
  const __m512i by_256 = _mm512_set_epi64(k256.high, k256.low, k256.high, k256.low, k256.high, k256.low, k256.high, k256.low);
  const __m512i by_64 = _mm512_set_epi64(k64.high, k64.low, k64.high, k64.low, k64.high, k64.low, k64.high, k64.low);
  __m512i x0 = _mm512_xor_si512(_mm512_loadu_si512(at), _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(~seed))));
  __m512i x1 = _mm512_loadu_si512(at + 64);
  __m512i x2 = _mm512_loadu_si512(at + 128);
  __m512i x3 = _mm512_loadu_si512(at + 192);
  for (at += 256, size -= 256; size >= 256; at += 256, size -= 256) {
    x0 = fold(x0, by_256, _mm512_loadu_si512(at));
    x1 = fold(x1, by_256, _mm512_loadu_si512(at + 64));
    x2 = fold(x2, by_256, _mm512_loadu_si512(at + 128));
    x3 = fold(x3, by_256, _mm512_loadu_si512(at + 192));
  }
  x0 = fold(fold(fold(x0, by_64, x1), by_64, x2), by_64, x3);
  alignas(64) std::uint64_t words[8];
  _mm512_store_si512(words, x0);
  const __m128i by_16 = _mm_set_epi64x(k16.high, k16.low);
  __m128i lane = _mm_load_si128(reinterpret_cast<const __m128i*>(words));
  for (int i = 2; i < 8; i += 2) {
    const __m128i next = _mm_load_si128(reinterpret_cast<const __m128i*>(words + i));
    lane = _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(lane, by_16, 0x00), _mm_clmulepi64_si128(lane, by_16, 0x11)), next);
  }
  std::uint64_t crc = step_64(0, static_cast<std::uint64_t>(_mm_cvtsi128_si64(lane)));
  crc = step_64(crc, static_cast<std::uint64_t>(_mm_extract_epi64(lane, 1)));
  return by_instruction(~static_cast<std::uint32_t>(crc), at, size);
}

#endif

Crc32cWay best_way() {
  for (int way = 2; way > 0; --way) {
    if (const Crc32cWay found = crc32c_way(way)) return found;
  }
  return by_tables;
}

}  // namespace

Crc32cWay crc32c_way(int way) {
  const CpuFeatures cpu = detect_cpu();
  if (way == 0) return by_tables;
#if defined(CKPT_CRC_TARGET)
  if (way == 1 && cpu.crc32) return by_instruction;
#endif
#if defined(__x86_64__)
  if (way == 2 && cpu.crc32 && cpu.vpclmulqdq) return by_folding;
#endif
  static_cast<void>(cpu);
  return nullptr;
}

std::uint32_t crc32c(std::uint32_t seed, const void* data, std::size_t size) {
  static const Crc32cWay way = best_way();
  return way(seed, data, size);
}

std::uint32_t crc32c_combine(std::uint32_t first, std::uint32_t second, std::uint64_t length) {
  // The bytes of the second part shift the first by 8 * length places; the inversions at both ends cancel.
  return multiply(power(8 * length), first) ^ second;
}

}  // namespace ckpt
