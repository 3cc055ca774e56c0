#include "crc32c.h"

#include "../cpu/features.h"
#include "crc_poly.h"

#if defined(__x86_64__)
#define CKPT_CRC_TARGET __attribute__((target(CKPT_SSE42)))
#elif defined(__aarch64__)
#include <arm_acle.h>
#define CKPT_CRC_TARGET __attribute__((target("+crc")))
#endif

namespace ckpt {
namespace {

constexpr std::uint32_t kCastagnoli = 0x82f63b78u;

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
  constexpr std::uint32_t kShift = crc_power<kCastagnoli>(8 * kLane);
  const auto* at = static_cast<const unsigned char*>(data);
  std::uint64_t crc = ~seed;
  for (; size >= 3 * kLane; size -= 3 * kLane, at += 3 * kLane) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t i = 0; i < kLane; i += 8) {
      crc = step_64(crc, crc_load_64(at + i));
      second = step_64(second, crc_load_64(at + kLane + i));
      third = step_64(third, crc_load_64(at + 2 * kLane + i));
    }
    crc = crc_multiply<kCastagnoli>(kShift, static_cast<std::uint32_t>(crc)) ^ second;
    crc = crc_multiply<kCastagnoli>(kShift, static_cast<std::uint32_t>(crc)) ^ third;
  }
  for (; size >= 8; size -= 8, at += 8) crc = step_64(crc, crc_load_64(at));
  for (; size != 0; --size, ++at) crc = step_8(crc, *at);
  return ~static_cast<std::uint32_t>(crc);
}

#endif

#if defined(__x86_64__)

// The last lane goes through the CRC instruction.
CKPT_FOLD_TARGET std::uint32_t by_folding(std::uint32_t seed, const void* data, std::size_t size) {
  if (size < 512) return by_instruction(seed, data, size);
  std::uint64_t lane[2];
  const std::size_t taken = crc_fold_all<kCastagnoli>(seed, data, size, lane);
  std::uint64_t crc = step_64(0, lane[0]);
  crc = step_64(crc, lane[1]);
  return by_instruction(~static_cast<std::uint32_t>(crc), static_cast<const unsigned char*>(data) + taken, size - taken);
}

#endif

Crc32cWay best_way() {
  for (int way = 2; way > 0; --way) {
    if (const Crc32cWay found = crc32c_way(way)) return found;
  }
  return crc_by_tables<kCastagnoli>;
}

}  // namespace

Crc32cWay crc32c_way(int way) {
  const CpuFeatures cpu = detect_cpu();
  if (way == 0) return crc_by_tables<kCastagnoli>;
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
  return crc_join<kCastagnoli>(first, second, length);
}

}  // namespace ckpt
