// CRC-32s of the cells of a job, chunk by chunk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ckpt {

struct CombineJob;

// Of what one chunk holds of each cell: the cells from `first` on, in the order of the job.
class CellSums {
 public:
  // Adds elements [first, first + count) of a segment, which follow those that were added before. `outputs`
  // [K] point at element `first`.
  void add(const CombineJob& job, std::size_t segment, std::uint64_t first, std::size_t count, const std::uint8_t* const* outputs);
  // Joins them to those of the chunks before. `all` is [cells x K].
  void append_to(const CombineJob& job, std::vector<std::uint32_t>* all) const;

 private:
  std::size_t first_ = 0;
  std::vector<std::uint32_t> crc_;     // [cells x K]
  std::vector<std::uint64_t> length_;  // [cells x K] bytes
};

}  // namespace ckpt
