#include "input_feed.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace ckpt {
namespace {

// Fewer elements than this in a row are not worth a call of the kernel.
constexpr std::uint64_t kLeastRun = 128;
// What is gathered at once of wide boxes: it is used while it is still in cache.
constexpr std::size_t kGatherBytes = std::size_t{32} << 10;
// Rows of a box that are shorter than a cache line are read a line at a time all the same: of narrow boxes as
// many rows as there is room for.
constexpr std::uint64_t kNarrow = 64;
// Boxes of one column that are copied together, so that what is written lies together: more of them would
// push each other's lines out of the first-level cache where columns are a power of two apart.
constexpr std::size_t kTogether = 8;

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
    case 32: return copy_short_rows<32>(to, to_stride, from, from_stride, rows);
    case 64: return copy_short_rows<64>(to, to_stride, from, from_stride, rows);
    default:
      for (std::uint64_t r = 0; r < rows; ++r) std::memcpy(to + r * to_stride, from + r * from_stride, bytes);
  }
}

// Columns of one element each, which follow one another.
struct Columns {
  std::size_t count = 0;
  const std::uint8_t* from[kTogether];
  std::uint64_t stride[kTogether];
};

template <std::size_t Bytes>
void copy_columns(std::uint8_t* to, std::size_t to_stride, const Columns& columns, std::uint64_t rows) {
  if (columns.count != kTogether) {
    for (std::size_t c = 0; c < columns.count; ++c) copy_short_rows<Bytes>(to + c * Bytes, to_stride, columns.from[c], columns.stride[c], rows);
    return;
  }
  for (std::uint64_t r = 0; r < rows; ++r, to += to_stride) {
    for (std::size_t c = 0; c < kTogether; ++c) std::memcpy(to + c * Bytes, columns.from[c] + r * columns.stride[c], Bytes);
  }
}

void copy_columns(std::uint8_t* to, std::size_t to_stride, const Columns& columns, std::size_t size, std::uint64_t rows) {
  switch (size) {
    case 1: return copy_columns<1>(to, to_stride, columns, rows);
    case 2: return copy_columns<2>(to, to_stride, columns, rows);
    case 4: return copy_columns<4>(to, to_stride, columns, rows);
    default: return copy_columns<8>(to, to_stride, columns, rows);
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
    source.columns = job.boxes.columns[source.input];
    source.start = job.boxes.start[source.input];
    const std::uint64_t first = source.start + piece.first;
    source.loaded = loaded;
    source.order = PatchOrder(job.boxes, source.input, first, first + piece.count);
    source.walk.seek(job.boxes, source.input, first);
    boxed_.push_back(source);
    const bool narrow = job.boxes.width[source.walk.patch(job.boxes).box] * source.size < kNarrow;
    most_ = std::min(most_, (narrow ? room_ : std::min(room_, kGatherBytes)) / source.size);
  }
  return {};
}

const std::uint8_t* const* InputFeed::take(std::uint64_t first, std::size_t grain, std::size_t* count) {
  for (const Source& source : plain_) inputs_[source.n] = source.data + (first - piece_.first) * source.size;
  std::uint64_t run = *count;
  for (Source& source : boxed_) run = std::min(run, find_run(source, first));
  if (run == *count) return inputs_.data();
  if (run >= kLeastRun) {
    *count = static_cast<std::size_t>(run / grain * grain);
    return inputs_.data();
  }
  std::size_t some = std::min(*count, most_);
  // To the end of a row, where there is one: long runs may begin there.
  const Source& front = boxed_.front();
  const std::uint64_t over = (front.start + first + some) % front.columns;
  if (some - std::min<std::uint64_t>(over, some) >= grain) some -= static_cast<std::size_t>(over);
  if (some != *count && some >= grain) some = some / grain * grain;
  *count = some;
  for (Source& source : boxed_) {
    if (source.run >= some) continue;  // lies there as it is
    gather(source, first, some, gathered_[source.n].data());
    inputs_[source.n] = gathered_[source.n].data();
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

// How many elements follow one another as they are, in a row or in a box as wide as the grid; `inputs_`
// points there.
std::uint64_t InputFeed::find_run(Source& source, std::uint64_t first) {
  const Boxes& boxes = job_->boxes;
  const std::uint64_t at = source.start + first;
  // In most cases where the last run has ended.
  if (const std::uint64_t before = source.walk.element(); before != at) {
    if (before < at && at - before <= source.run) source.walk.advance(boxes, at - before);
    else source.walk.seek(boxes, source.input, at);
  }
  const Patch patch = source.walk.patch(boxes);
  std::uint64_t stride = 0;
  inputs_[source.n] = find(source, patch, &stride);
  source.run = patch.width;
  const std::size_t b = patch.box;
  if (boxes.width[b] != source.columns) return source.run;
  // What was loaded has no gaps.
  const bool loaded = job_->files[static_cast<std::size_t>(boxes.file[b])]->mode() == InputMode::read;
  if (loaded || boxes.row_stride[b] == source.columns * source.size) source.run = (boxes.row[b] + boxes.rows[b]) * source.columns - at;
  return source.run;
}

void InputFeed::gather(const Source& source, std::uint64_t first, std::size_t count, std::uint8_t* to) const {
  const std::uint64_t from = source.start + first;
  const std::size_t to_stride = source.columns * source.size;
  const auto place = [&](const Patch& patch) { return to + (patch.row * source.columns + patch.column - from) * source.size; };
  PatchWalk walk(job_->boxes, source.input, from, from + count);
  Columns columns;
  Patch left{};  // the first of the columns
  for (Patch patch; walk.next(&patch);) {
    std::uint64_t stride = 0;
    const std::uint8_t* data = find(source, patch, &stride);
    const bool follows = patch.width == 1 && columns.count != 0 && columns.count != kTogether && patch.row == left.row && patch.rows == left.rows;
    if (columns.count != 0 && !follows) {
      copy_columns(place(left), to_stride, columns, source.size, left.rows);
      columns.count = 0;
    }
    if (patch.width == 1) {
      if (columns.count == 0) left = patch;
      columns.from[columns.count] = data;
      columns.stride[columns.count++] = stride;
    } else {
      copy_rows(place(patch), to_stride, data, stride, patch.width * source.size, patch.rows);
    }
  }
  if (columns.count != 0) copy_columns(place(left), to_stride, columns, source.size, left.rows);
}

}  // namespace ckpt
