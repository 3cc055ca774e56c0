#include "chunk_runner.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "../io/crc32c.h"
#include "../io/fault_guard.h"
#include "float_env.h"

namespace ckpt {
namespace {

using Clock = std::chrono::steady_clock;

// Parts of a tile smaller than this many elements are not worth a call of the kernel: the tile is written
// first.
constexpr std::size_t kGrain = 64;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

Status ChunkRunner::prepare(const Job& job) {
  tiles_.resize(std::max(tiles_.size(), job.outputs.size()));
  outputs_.resize(job.outputs.size());
  offsets_.resize(job.outputs.size());
  for (std::size_t k = 0; k < job.outputs.size(); ++k) {
    if (!tiles_[k].buffer.reserve(tile_bytes_)) return failure(Code::no_memory, "no memory for a tile");
    tiles_[k].used = 0;
  }
  list_mappings(job, &mappings_);
  return {};
}

Status ChunkRunner::run(const Job& job, const ChunkWork& work, InputFeed& feed, Arithmetic& arithmetic, Written* written, Tally* tally) {
  Status status = prepare(job);
  if (!status.ok()) return status;
  feed.begin(job, work);
  stop_ = &work.stop;
  const DefaultFloatEnv float_env;
  const FaultGuard guard(mappings_.data(), mappings_.size());
  std::size_t segment = 0;
  const Chunk& chunk = work.chunk();
  for (std::size_t p = chunk.first_piece; p < chunk.first_piece + chunk.piece_count; ++p) {
    segment = work.plan.pieces[p].segment;
    status = run_piece(job, work.plan.pieces[p], feed, arithmetic, written, tally);
    if (!status.ok()) return status;
  }
  return flush(job, segment, written, tally);
}

// Elements of the piece that fit behind what the tiles hold; 0 where they have to be written first.
std::size_t ChunkRunner::room(const Job& job, const Piece& piece, std::uint64_t done) const {
  std::uint64_t fit = piece.count - done;
  for (std::size_t k = 0; k < job.outputs.size(); ++k) {
    const Tile& tile = tiles_[k];
    const std::size_t size = job.out_size(piece.segment, k);
    const std::uint64_t at = job.out_offset[piece.segment * job.outputs.size() + k] + (piece.first + done) * size;
    if (tile.used != 0 && tile.offset + tile.used != at) return 0;
    fit = std::min<std::uint64_t>(fit, (tile_bytes_ - tile.used) / size);
  }
  if (fit < piece.count - done) {
    if (fit >= kGrain) fit = fit / kGrain * kGrain;
    else if (tiles_[0].used != 0) fit = 0;
  }
  return static_cast<std::size_t>(fit);
}

Status ChunkRunner::run_piece(const Job& job, const Piece& piece, InputFeed& feed, Arithmetic& arithmetic, Written* written, Tally* tally) {
  const std::size_t segment = piece.segment;
  const int copied = job.copied(segment);
  if (copied < 0) {
    const Status status = arithmetic.prepare(segment);
    if (!status.ok()) return status;
  }
  const Status turned = feed.turn(piece, tally);
  if (!turned.ok()) return turned;
  for (std::uint64_t done = 0; done < piece.count;) {
    const std::uint64_t first = piece.first + done;
    const std::size_t count = room(job, piece, done);
    if (count == 0) {
      const Status status = flush(job, segment, written, tally);
      if (!status.ok()) return status;
      continue;
    }
    const auto start = Clock::now();
    for (std::size_t k = 0; k < job.outputs.size(); ++k) {
      Tile& tile = tiles_[k];
      const std::size_t size = job.out_size(segment, k);
      if (tile.used == 0) tile.offset = job.out_offset[segment * job.outputs.size() + k] + first * size;
      outputs_[k] = tile.buffer.data() + tile.used;
      // No input: zeros.
      if (copied >= 0 && k == 0 && static_cast<std::size_t>(copied) == job.inputs) std::memset(outputs_[0], 0, count);
      else if (copied >= 0 && k == 0) feed.copy(static_cast<std::size_t>(copied), first, count, outputs_[0]);
      if (copied >= 0 && k != 0) std::memcpy(outputs_[k], outputs_[0], count);
      tile.used += count * size;
    }
    if (copied < 0) compute(job, segment, first, count, feed, arithmetic);
    arithmetic.made(segment, first, count, outputs_.data());
    tally->compute_seconds += seconds_since(start);
    done += count;
  }
  return {};
}

void ChunkRunner::compute(const Job& job, std::size_t segment, std::uint64_t first, std::size_t count, InputFeed& feed, Arithmetic& arithmetic) {
  parts_ = outputs_;
  while (count != 0) {
    std::size_t some = count;
    const std::uint8_t* const* inputs = feed.take(first, 1, &some);
    arithmetic.run(first, some, inputs, parts_.data());
    for (std::size_t k = 0; k < parts_.size(); ++k) parts_[k] += some * job.out_size(segment, k);
    first += some;
    count -= some;
  }
}

Status ChunkRunner::flush(const Job& job, std::size_t segment, Written* written, Tally* tally) {
  if (stop_->load(std::memory_order_relaxed) || job.cancelled()) return failure(Code::cancelled, "cancelled");
  // Before anything is written: a poisoned mapping has given zeros, on this thread or another.
  const Status trusted = poisoned(job, segment);
  if (!trusted.ok()) return trusted;
  if (tiles_[0].used == 0) return {};
  for (std::size_t k = 0; k < job.outputs.size(); ++k) offsets_[k] = tiles_[k].offset;
  const std::size_t range = written->range_at(offsets_.data(), job.outputs.size());
  for (std::size_t k = 0; k < job.outputs.size(); ++k) {
    Tile& tile = tiles_[k];
    const auto start = Clock::now();
    written->crc[range + k] = crc32c(written->crc[range + k], tile.buffer.data(), tile.used);
    written->length[range + k] += tile.used;
    const auto summed = Clock::now();
    Status status = job.outputs[k]->write(tile.offset, tile.buffer.data(), tile.used);
    tally->compute_seconds += std::chrono::duration<double>(summed - start).count();
    tally->write_seconds += seconds_since(summed);
    if (!status.ok()) {
      status.output = static_cast<int>(k);
      status.segment = static_cast<int>(segment);
      return status;
    }
    tally->bytes_written += tile.used;
    tile.used = 0;
  }
  return {};
}

}  // namespace ckpt
