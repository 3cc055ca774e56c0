// Runs one chunk of an operation that writes: has it compute tiles of output in cache, sums their CRC while
// they are there, writes each at once. Copied segments it copies itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "../io/buffer.h"
#include "input_feed.h"
#include "operation.h"

namespace ckpt {

// The arithmetic of an operation that writes.
class Arithmetic {
 public:
  virtual ~Arithmetic() = default;
  // Turns to a segment (not a copied one).
  virtual Status prepare(std::size_t segment) = 0;
  // Elements [first, first + count) of that segment. `inputs` [N] and `outputs` [K] point at element `first`;
  // inputs that the segment does not read are undefined.
  virtual void run(std::uint64_t first, std::size_t count, const std::uint8_t* const* inputs, std::uint8_t* const* outputs) = 0;
  // Elements of a segment are in `outputs`, computed or copied, and still in cache.
  virtual void made(std::size_t /* segment */, std::uint64_t /* first */, std::size_t /* count */, const std::uint8_t* const* /* outputs */) {}
};

class ChunkRunner {
 public:
  explicit ChunkRunner(std::size_t tile_bytes) : tile_bytes_(tile_bytes) {}

  Status run(const Job& job, const ChunkWork& work, InputFeed& feed, Arithmetic& arithmetic, Written* written, Tally* tally);

 private:
  // The part of a tile in one output.
  struct Tile {
    Buffer buffer;
    std::uint64_t offset = 0;  // in the file
    std::size_t used = 0;
  };

  Status prepare(const Job& job);
  Status run_piece(const Job& job, const Piece& piece, InputFeed& feed, Arithmetic& arithmetic, Written* written, Tally* tally);
  void compute(const Job& job, std::size_t segment, std::uint64_t first, std::size_t count, InputFeed& feed, Arithmetic& arithmetic);
  std::size_t room(const Job& job, const Piece& piece, std::uint64_t done) const;
  Status flush(const Job& job, std::size_t segment, Written* written, Tally* tally);

  std::size_t tile_bytes_;
  std::vector<Tile> tiles_;              // [K]
  std::vector<std::uint8_t*> outputs_;   // [K]
  std::vector<std::uint8_t*> parts_;     // [K] where what is taken next goes
  std::vector<std::uint64_t> offsets_;   // [K] where tiles go in their files
  std::vector<Mapping*> mappings_;       // of the job's files
  const std::atomic<bool>* stop_ = nullptr;
};

}  // namespace ckpt
