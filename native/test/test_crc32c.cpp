// Every way of computing CRC32C and CRC-32 against the definition, bit by bit.
#include "../io/crc32.h"
#include "../io/crc32c.h"

#include <vector>

#include "fixture.h"

using namespace ckpt;
using namespace ckpt_test;

namespace {

using Way = std::uint32_t (*)(std::uint32_t, const void*, std::size_t);
using Join = std::uint32_t (*)(std::uint32_t, std::uint32_t, std::uint64_t);

std::uint32_t by_definition(std::uint32_t polynomial, std::uint32_t seed, const std::uint8_t* data, std::size_t size) {
  std::uint32_t crc = ~seed;
  for (std::size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
  }
  return ~crc;
}

void check(std::uint32_t polynomial, std::uint32_t of_digits, const std::vector<Way>& ways, Way best, Join join) {
  const auto bytes = random_bytes(40000, 1);
  const std::size_t sizes[] = {0, 1, 7, 8, 9, 63, 64, 255, 256, 257, 511, 512, 513, 767, 768, 1023, 12287, 12288, 12289, 30000};
  for (std::size_t way = 0; way < ways.size(); ++way) {
    const Way crc = ways[way];
    if (crc == nullptr) {
      std::printf("polynomial %08x, way %zu: not available here\n", polynomial, way);
      continue;
    }
    CHECK(crc(0, "123456789", 9) == of_digits);
    for (const std::size_t size : sizes) {
      for (const std::size_t from : std::initializer_list<std::size_t>{0, 1, 13}) {
        CHECK_THAT(crc(77, bytes.data() + from, size) == by_definition(polynomial, 77, bytes.data() + from, size), std::to_string(size));
      }
    }
  }
  for (const std::size_t cut : sizes) {
    const std::uint32_t first = best(0, bytes.data(), cut);
    const std::uint32_t second = best(0, bytes.data() + cut, 30000 - cut);
    CHECK(join(first, second, 30000 - cut) == best(0, bytes.data(), 30000));
  }
  // Lengths beyond 32 bits, built by doubling a run of zeros.
  std::uint32_t zeros = best(0, std::vector<std::uint8_t>(1024).data(), 1024);
  std::uint64_t length = 1024;
  for (; length < (std::uint64_t{1} << 34); length *= 2) zeros = join(zeros, zeros, length);
  CHECK(join(zeros, best(0, "abc", 3), 3) == best(zeros, "abc", 3));
}

}  // namespace

int main() {
  check(0x82f63b78u, 0xe3069283u, {crc32c_way(0), crc32c_way(1), crc32c_way(2)}, crc32c, crc32c_combine);
  check(0xedb88320u, 0xcbf43926u, {crc32_way(0), crc32_way(1)}, crc32, crc32_combine);
  return finish("crc32c");
}
