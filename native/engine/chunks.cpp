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

RangeWalk::RangeWalk(const Job& job, const Piece* first, const Piece* past, std::size_t n, Gaps gaps)
    : job_(&job), piece_(first), past_(past), n_(n), gaps_(gaps) {}

bool RangeWalk::next(Range* range) {
  if (!held_ && !step(&range_)) return false;
  *range = range_;
  while ((held_ = step(&range_))) {
    if (range_.file != range->file || range_.offset != range->offset + range->size) break;
    range->size += range_.size;
  }
  return true;
}

bool RangeWalk::step(Range* range) {
  while (row_ == patch_.rows) {
    if (patches_ && patches_->next(&patch_)) {
      row_ = 0;
      break;
    }
    patches_.reset();
    while (piece_ != past_ && !job_->reads(piece_->segment, n_)) ++piece_;
    if (piece_ == past_) return false;
    const Piece& piece = *piece_++;
    const std::size_t input = piece.segment * job_->inputs + n_;
    size_ = job_->in_size(piece.segment, n_);
    if (!job_->boxes.hold(input)) {
      *range = {static_cast<std::size_t>(job_->file[input]), job_->offset[input] + piece.first * size_, piece.count * size_};
      return true;
    }
    const std::uint64_t first = job_->boxes.start[input] + piece.first;
    patches_.emplace(job_->boxes, input, first, first + piece.count);
  }
  *range = range_of_patch();
  return true;
}

// Of as many rows of the patch as lie together.
Range RangeWalk::range_of_patch() {
  // Reading across is cheaper than beginning anew.
  constexpr std::uint64_t kSmallGap = std::uint64_t{64} << 10;
  const Boxes& boxes = job_->boxes;
  const std::size_t b = patch_.box;
  const std::uint64_t stride = boxes.row_stride[b];
  const std::uint64_t bytes = patch_.width * size_;
  const std::uint64_t begin = boxes.offset[b] + (patch_.row + row_ - boxes.row[b]) * stride + (patch_.column - boxes.column[b]) * size_;
  const bool together = stride == bytes || (gaps_ == Gaps::loose && stride < bytes + kSmallGap);
  const std::uint64_t rows = together ? patch_.rows - row_ : 1;
  row_ += rows;
  return {static_cast<std::size_t>(boxes.file[b]), begin, (rows - 1) * stride + bytes};
}

}  // namespace ckpt
