#include "crc32.h"

#include "../cpu/features.h"
#include "crc_poly.h"

namespace ckpt {
namespace {

constexpr std::uint32_t kZip = 0xedb88320u;

#if defined(__x86_64__)

// No instruction has this polynomial: the last lane goes through the tables.
CKPT_FOLD_TARGET std::uint32_t by_folding(std::uint32_t seed, const void* data, std::size_t size) {
  if (size < 512) return crc_by_tables<kZip>(seed, data, size);
  std::uint64_t lane[2];
  const std::size_t taken = crc_fold_all<kZip>(seed, data, size, lane);
  const std::uint32_t crc = crc_by_tables<kZip>(~0u, lane, sizeof lane);
  return crc_by_tables<kZip>(crc, static_cast<const unsigned char*>(data) + taken, size - taken);
}

#endif

}  // namespace

Crc32Way crc32_way(int way) {
  const CpuFeatures cpu = detect_cpu();
  if (way == 0) return crc_by_tables<kZip>;
#if defined(__x86_64__)
  if (way == 1 && cpu.vpclmulqdq) return by_folding;
#endif
  static_cast<void>(cpu);
  return nullptr;
}

std::uint32_t crc32(std::uint32_t seed, const void* data, std::size_t size) {
  static const Crc32Way way = crc32_way(1) == nullptr ? crc32_way(0) : crc32_way(1);
  return way(seed, data, size);
}

std::uint32_t crc32_combine(std::uint32_t first, std::uint32_t second, std::uint64_t length) {
  return crc_join<kZip>(first, second, length);
}

}  // namespace ckpt
