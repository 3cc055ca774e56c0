// Runs one chunk on one thread: computes tiles of output in cache, sums their CRC while they are there,
// writes each at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "../io/buffer.h"
#include "chunks.h"
#include "../ops/combine/combiner.h"
#include "job.h"

namespace ckpt {

struct ChunkResult {
  std::vector<std::uint32_t> crc;     // [K] of the bytes of this chunk
  std::vector<std::uint64_t> length;  // [K]
};

// What a thread adds up over a job.
struct Tally {
  NonfiniteCounts nonfinite;
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_written = 0;
  double compute_seconds = 0;
  double write_seconds = 0;
};

class ChunkRunner {
 public:
  ChunkRunner(const KernelTable& kernels, std::size_t tile_bytes) : combiner_(kernels), tile_bytes_(tile_bytes) {}

  // `loaded` [N] points at the data of each member in mode read, in the order of the pieces. Ends early when
  // `stop` is set or the job cancelled.
  Status run(const Job& job, const ChunkPlan& plan, const Chunk& chunk, const std::uint8_t* const* loaded, const std::atomic<bool>& stop,
             ChunkResult* result, Tally* tally);

 private:
  // The part of a tile in one output.
  struct Tile {
    Buffer buffer;
    std::uint64_t offset = 0;  // in the file
    std::size_t used = 0;
  };

  Status prepare(const Job& job);
  Status run_piece(const Job& job, const Piece& piece, ChunkResult* result, Tally* tally);
  std::size_t room(const Job& job, const Piece& piece, std::uint64_t done) const;
  Status flush(const Job& job, std::size_t segment, ChunkResult* result, Tally* tally);

  Combiner combiner_;
  std::size_t tile_bytes_;
  std::vector<Tile> tiles_;                    // [K]
  std::vector<const std::uint8_t*> cursor_;    // [N] next byte of each loaded member
  std::vector<const std::uint8_t*> inputs_;    // [N]
  std::vector<std::uint8_t*> outputs_;         // [K]
  std::vector<Mapping*> mappings_;             // of the job's files
  const std::atomic<bool>* stop_ = nullptr;
};

}  // namespace ckpt
