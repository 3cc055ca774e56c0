#include "cell_sums.h"

#include <algorithm>

#include "../../io/crc32.h"
#include "combine.h"

namespace ckpt {

void CellSums::add(const CombineJob& job, std::size_t segment, std::uint64_t first, std::size_t count, const std::uint8_t* const* outputs) {
  const std::size_t width = job.outputs.size();
  const auto begin = job.cell_end.begin() + job.cell[segment];
  const auto end = job.cell_end.begin() + job.cell[segment + 1];
  auto cell = static_cast<std::size_t>(std::upper_bound(begin, end, first) - job.cell_end.begin());
  const std::uint64_t stop = first + count;
  for (std::uint64_t at = first; at < stop; ++cell) {
    const std::uint64_t until = std::min(job.cell_end[cell], stop);
    if (crc_.empty()) first_ = cell;
    const std::size_t row = (cell - first_) * width;
    if (crc_.size() < row + width) {
      crc_.resize(row + width);
      length_.resize(row + width);
    }
    for (std::size_t k = 0; k < width; ++k) {
      const std::size_t size = job.out_size(segment, k);
      const std::size_t bytes = static_cast<std::size_t>(until - at) * size;
      crc_[row + k] = crc32(crc_[row + k], outputs[k] + (at - first) * size, bytes);
      length_[row + k] += bytes;
    }
    at = until;
  }
}

void CellSums::append_to(const CombineJob& job, std::vector<std::uint32_t>* all) const {
  std::uint32_t* const from = all->data() + first_ * job.outputs.size();
  for (std::size_t i = 0; i < crc_.size(); ++i) from[i] = crc32_combine(from[i], crc_[i], length_[i]);
}

}  // namespace ckpt
