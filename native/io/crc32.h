// CRC-32 as zlib, zip and PNG use it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ckpt {

// CRC of `size` bytes that follow bytes whose CRC is `seed` (0 for none). Uses the fastest way this CPU has.
std::uint32_t crc32(std::uint32_t seed, const void* data, std::size_t size);

// CRC of a concatenation from the CRCs of its parts; `length` is that of the second, in bytes.
std::uint32_t crc32_combine(std::uint32_t first, std::uint32_t second, std::uint64_t length);

// One of the ways, for tests: 0 = tables, 1 = carry-less multiply. Null where this CPU or build lacks it.
using Crc32Way = std::uint32_t (*)(std::uint32_t, const void*, std::size_t);
Crc32Way crc32_way(int way);

}  // namespace ckpt
