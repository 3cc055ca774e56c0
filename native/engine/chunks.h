// Cuts a job into chunks: what one thread does in one go. A chunk is a run of pieces in output order; a piece
// is a run of elements of one segment.
#pragma once

#include <cstddef>
#include <cstdint>
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

// The ranges of member n in a chunk, in the order of its pieces, neighbours joined.
void append_ranges(const Job& job, const ChunkPlan& plan, const Chunk& chunk, std::size_t n, std::vector<Range>* ranges);

}  // namespace ckpt
