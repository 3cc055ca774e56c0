// Cuts a job into chunks: what one thread does in one go. A chunk is a run of pieces in output order; a piece
// is a run of elements of one segment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "job.h"

namespace ckpt {

struct Piece {
  std::size_t segment;
  std::uint64_t first;  // element
  std::uint64_t count;  // elements
};

struct Chunk {
  std::size_t first_piece;
  std::size_t piece_count;
};

struct ChunkPlan {
  std::vector<Piece> pieces;
  std::vector<Chunk> chunks;

  const Piece* begin(const Chunk& chunk) const { return pieces.data() + chunk.first_piece; }
  const Piece* end(const Chunk& chunk) const { return begin(chunk) + chunk.piece_count; }
};

// What an operation asks of its chunks.
struct ChunkRules {
  // elements: they end on a multiple where they can; so vectors and cache lines are whole
  std::uint64_t grain = 64;
  std::uint64_t least = 0;   // bytes of an input
};

// Chunks of at most `most` bytes of each input and output, smaller where the whole job would not give every
// thread a few (but not under `least`).
ChunkPlan plan_chunks(const Job& job, std::size_t threads, std::uint64_t grain, std::uint64_t least, std::uint64_t most);

// A contiguous range of one input file that a chunk needs.
struct Range {
  std::size_t file;      // index into Job::files
  std::uint64_t offset;
  std::uint64_t size;
};

// The ranges of member n in some pieces, in their order (in boxes that of PatchWalk), neighbours joined.
class RangeWalk {
 public:
  // exact: as many bytes as the pieces have. loose: with small gaps between the rows of a box, for what is
  // done by the page anyway.
  enum class Gaps { exact, loose };

  RangeWalk(const Job& job, const Piece* first, const Piece* past, std::size_t n, Gaps gaps);
  // False at the end.
  bool next(Range* range);

 private:
  bool step(Range* range);
  Range range_of_patch();

  const Job* job_;
  const Piece* piece_;
  const Piece* past_;
  std::size_t n_;
  Gaps gaps_;
  std::uint64_t size_ = 1;           // bytes of an element of the piece
  std::optional<PatchWalk> patches_;  // of the piece, where it lies in boxes
  Patch patch_{};
  std::uint64_t row_ = 0;            // of the patch, next
  bool held_ = false;
  Range range_{};                    // read and not given out yet
};

}  // namespace ckpt
