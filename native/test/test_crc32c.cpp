// Every way of computing CRC32C against the definition, bit by bit.
#include "../io/crc32c.h"

#include <vector>

#include "fixture.h"

using namespace ckpt;
using namespace ckpt_test;

namespace {

std::uint32_t by_definition(std::uint32_t seed, const std::uint8_t* data, std::size_t size) {
  std::uint32_t crc = ~seed;
  for (std::size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

}  // namespace

int main() {
  const auto bytes = random_bytes(40000, 1);
  const std::size_t sizes[] = {0, 1, 7, 8, 9, 63, 64, 255, 256, 257, 511, 512, 513, 767, 768, 1023, 12287, 12288, 12289, 30000};
  for (int way = 0; way < 3; ++way) {
    const Crc32cWay crc = crc32c_way(way);
    if (crc == nullptr) {
      std::printf("way %d: not available here\n", way);
      continue;
    }
    CHECK(crc(0, "123456789", 9) == 0xe3069283u);
    for (const std::size_t size : sizes) {
      for (const std::size_t from : std::initializer_list<std::size_t>{0, 1, 13}) {
        CHECK_THAT(crc(77, bytes.data() + from, size) == by_definition(77, bytes.data() + from, size), std::to_string(size));
      }
    }
  }
  for (const std::size_t cut : sizes) {
    const std::uint32_t first = crc32c(0, bytes.data(), cut);
    const std::uint32_t second = crc32c(0, bytes.data() + cut, 30000 - cut);
    CHECK(crc32c_combine(first, second, 30000 - cut) == crc32c(0, bytes.data(), 30000));
  }
  // Lengths beyond 32 bits, built by doubling a run of zeros.
  std::uint32_t zeros = crc32c(0, std::vector<std::uint8_t>(1024).data(), 1024);
  std::uint64_t length = 1024;
  for (; length < (std::uint64_t{1} << 34); length *= 2) zeros = crc32c_combine(zeros, zeros, length);
  CHECK(crc32c_combine(zeros, crc32c(0, "abc", 3), 3) == crc32c(zeros, "abc", 3));
  return finish("crc32c");
}
