#include "input_feed.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace ckpt {
namespace {

// What is gathered at once of wide boxes: the first-level cache keeps it until it is used.
constexpr std::size_t kGatherBytes = std::size_t{32} << 10;
// Rows of a box that are shorter than a cache line are read a line at a time all the same: of narrow boxes as
// many rows as there is room for.
constexpr std::uint64_t kNarrow = 64;

template <std::size_t Bytes>
void copy_short_rows(std::uint8_t* to, std::size_t to_stride, const std::uint8_t* from, std::size_t from_stride, std::uint64_t rows) {
  for (std::uint64_t r = 0; r < rows; ++r) std::memcpy(to + r * to_stride, from + r * from_stride, Bytes);
}

void copy_rows(std::uint8_t* to, std::size_t to_stride, const std::uint8_t* from, std::size_t from_stride, std::size_t bytes, std::uint64_t rows) {
  if (bytes == to_stride && bytes == from_stride) {
    std::memcpy(to, from, bytes * rows);
    return;
  }
  switch (bytes) {
    case 1: return copy_short_rows<1>(to, to_stride, from, from_stride, rows);
    case 2: return copy_short_rows<2>(to, to_stride, from, from_stride, rows);
    case 4: return copy_short_rows<4>(to, to_stride, from, from_stride, rows);
    case 8: return copy_short_rows<8>(to, to_stride, from, from_stride, rows);
    case 16: return copy_short_rows<16>(to, to_stride, from, from_stride, rows);
    default:
      for (std::uint64_t r = 0; r < rows; ++r) std::memcpy(to + r * to_stride, from + r * from_stride, bytes);
  }
}

}  // namespace

void InputFeed::begin(const Job& job, const ChunkWork& work) {
  job_ = &job;
  loaded_ = work.loaded;
  taken_.assign(job.inputs, 0);
  inputs_.assign(job.inputs, nullptr);
  gathered_.resize(std::max(gathered_.size(), job.boxes.empty() ? 0 : job.inputs));
}

Status InputFeed::turn(const Piece& piece, Tally* tally) {
  const Job& job = *job_;
  piece_ = piece;
  most_ = std::numeric_limits<std::size_t>::max();
  plain_.clear();
  boxed_.clear();
  for (std::size_t n = 0; n < job.inputs; ++n) {
    if (!job.reads(piece.segment, n)) continue;
    Source source;
    source.n = n;
    source.input = piece.segment * job.inputs + n;
    source.size = job.in_size(piece.segment, n);
    const std::uint8_t* loaded = loaded_[n] == nullptr ? nullptr : loaded_[n] + taken_[n];
    taken_[n] += piece.count * source.size;
    tally->bytes_read += piece.count * source.size;
    if (!job.boxes.hold(source.input)) {
      Input& file = *job.files[static_cast<std::size_t>(job.file[source.input])];
      source.data = file.mode() == InputMode::map ? file.mapping().base + job.offset[source.input] + piece.first * source.size : loaded;
      plain_.push_back(source);
      continue;
    }
    if (!gathered_[n].reserve(room_)) return failure(Code::no_memory, "no memory to gather boxes");
    const std::uint64_t first = job.boxes.start[source.input] + piece.first;
    source.loaded = loaded;
    source.order = PatchOrder(job.boxes, source.input, first, first + piece.count);
    boxed_.push_back(source);
    Patch patch;
    PatchWalk(job.boxes, source.input, first, first + piece.count).next(&patch);
    const bool narrow = job.boxes.width[patch.box] * source.size < kNarrow;
    most_ = std::min(most_, (narrow ? room_ : std::min(room_, kGatherBytes)) / source.size);
  }
  return {};
}

const std::uint8_t* const* InputFeed::take(std::uint64_t first, std::size_t count) {
  for (const Source& source : plain_) inputs_[source.n] = source.data + (first - piece_.first) * source.size;
  for (const Source& source : boxed_) {
    const std::uint8_t* run = run_of(source, first, count);
    if (run == nullptr) {
      gather(source, first, count, gathered_[source.n].data());
      run = gathered_[source.n].data();
    }
    inputs_[source.n] = run;
  }
  return inputs_.data();
}

void InputFeed::copy(std::size_t n, std::uint64_t first, std::size_t count, std::uint8_t* to) const {
  for (const Source& source : plain_) {
    if (source.n == n) std::memcpy(to, source.data + (first - piece_.first) * source.size, count * source.size);
  }
  for (const Source& source : boxed_) {
    if (source.n == n) gather(source, first, count, to);
  }
}

// Where a patch begins, and the bytes from each of its rows to the next.
const std::uint8_t* InputFeed::find(const Source& source, const Patch& patch, std::uint64_t* stride) const {
  const Boxes& boxes = job_->boxes;
  const std::size_t b = patch.box;
  Input& file = *job_->files[static_cast<std::size_t>(boxes.file[b])];
  if (file.mode() == InputMode::map) {
    *stride = boxes.row_stride[b];
    return file.mapping().base + boxes.offset[b] + (patch.row - boxes.row[b]) * *stride + (patch.column - boxes.column[b]) * source.size;
  }
  const PatchOrder::Place place = source.order.place(boxes, patch);
  *stride = place.stride * source.size;
  return source.loaded + place.element * source.size;
}

// Elements that follow one another as they are, in one row or in a box as wide as the grid; else null.
const std::uint8_t* InputFeed::run_of(const Source& source, std::uint64_t first, std::size_t count) const {
  const Boxes& boxes = job_->boxes;
  const std::uint64_t columns = boxes.columns[source.input];
  const std::uint64_t from = boxes.start[source.input] + first;
  Patch patch;
  if (!PatchWalk(boxes, source.input, from, from + count).next(&patch)) return nullptr;
  std::uint64_t stride = 0;
  const std::uint8_t* data = find(source, patch, &stride);
  if (patch.rows == 1 && patch.width == count) return data;
  const std::size_t b = patch.box;
  if (boxes.width[b] != columns || from + count > (boxes.row[b] + boxes.rows[b]) * columns) return nullptr;
  // What was loaded has no gaps.
  const bool loaded = job_->files[static_cast<std::size_t>(boxes.file[b])]->mode() == InputMode::read;
  return loaded || boxes.row_stride[b] == columns * source.size ? data : nullptr;
}

void InputFeed::gather(const Source& source, std::uint64_t first, std::size_t count, std::uint8_t* to) const {
  const std::uint64_t columns = job_->boxes.columns[source.input];
  const std::uint64_t from = job_->boxes.start[source.input] + first;
  PatchWalk walk(job_->boxes, source.input, from, from + count);
  for (Patch patch; walk.next(&patch);) {
    std::uint64_t stride = 0;
    const std::uint8_t* data = find(source, patch, &stride);
    copy_rows(to + (patch.row * columns + patch.column - from) * source.size, columns * source.size, data, stride, patch.width * source.size, patch.rows);
  }
}

}  // namespace ckpt
