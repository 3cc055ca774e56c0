#include "chunks.h"

#include <algorithm>

namespace ckpt {
namespace {

// Chunks per thread that a small job is cut into, so that threads end together.
constexpr std::uint64_t kChunksPerThread = 4;

// Bytes of one element in the widest of its inputs and outputs.
std::uint64_t widest(const Job& job, std::size_t segment) {
  std::size_t size = 1;
  for (std::size_t k = 0; k < job.outputs.size(); ++k) size = std::max(size, job.out_size(segment, k));
  for (std::size_t n = 0; n < job.inputs; ++n) {
    if (job.reads(segment, n)) size = std::max(size, job.in_size(segment, n));
  }
  return size;
}

}  // namespace

ChunkPlan plan_chunks(const Job& job, std::size_t threads, std::uint64_t grain, std::uint64_t least, std::uint64_t most) {
  std::vector<std::uint64_t> width(job.segments);
  std::uint64_t total = 0;
  for (std::size_t segment = 0; segment < job.segments; ++segment) {
    width[segment] = widest(job, segment);
    total += job.count[segment] * width[segment];
  }
  const std::uint64_t limit = std::min(most, std::max(least, total / (threads * kChunksPerThread) / grain * grain));
  ChunkPlan plan;
  std::uint64_t used = 0;
  for (std::size_t segment = 0; segment < job.segments; ++segment) {
    for (std::uint64_t first = 0; first < job.count[segment];) {
      std::uint64_t room = plan.chunks.empty() ? 0 : (limit - used) / width[segment];
      const std::uint64_t left = job.count[segment] - first;
      if (left > room) room = room / grain * grain;
      if (room == 0) {
        plan.chunks.push_back({plan.pieces.size(), 0});
        used = 0;
        room = std::max<std::uint64_t>(1, limit / width[segment]);
        if (left > room && room >= grain) room = room / grain * grain;
      }
      const std::uint64_t count = std::min(left, room);
      plan.pieces.push_back({segment, first, count});
      ++plan.chunks.back().piece_count;
      used += count * width[segment];
      first += count;
    }
  }
  return plan;
}

void append_ranges(const Job& job, const ChunkPlan& plan, const Chunk& chunk, std::size_t n, std::vector<Range>* ranges) {
  const std::size_t start = ranges->size();
  for (std::size_t p = chunk.first_piece; p < chunk.first_piece + chunk.piece_count; ++p) {
    const Piece& piece = plan.pieces[p];
    if (!job.reads(piece.segment, n)) continue;
    const std::size_t at = piece.segment * job.inputs + n;
    const std::uint64_t element = job.in_size(piece.segment, n);
    const Range range{static_cast<std::size_t>(job.file[at]), job.offset[at] + piece.first * element, piece.count * element};
    if (ranges->size() > start && ranges->back().file == range.file && ranges->back().offset + ranges->back().size == range.offset) {
      ranges->back().size += range.size;
    } else {
      ranges->push_back(range);
    }
  }
}

}  // namespace ckpt
