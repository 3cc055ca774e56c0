// Hands an operation the elements of a chunk's inputs one after the other, wherever they lie: mapped, loaded,
// or gathered from boxes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../io/buffer.h"
#include "operation.h"

namespace ckpt {

class InputFeed {
 public:
  InputFeed(const KernelTable&, const EngineShape& shape) : room_(shape.gather_bytes) {}

  // Turns to a chunk.
  void begin(const Job& job, const ChunkWork& work);
  // Turns to its next piece, the pieces in their order. Code::no_memory where there is none to gather in.
  Status turn(const Piece& piece, Tally* tally);

  // Elements of the segment from `first` on in each input that it reads, within the piece: at most `count`,
  // as many as is quickest; `count` becomes their number, which is what was asked for or a multiple of
  // `grain`, a small number. [N], valid until the next call.
  const std::uint8_t* const* take(std::uint64_t first, std::size_t grain, std::size_t* count);
  // Elements [first, first + count) of one input, copied to where they shall stand.
  void copy(std::size_t n, std::uint64_t first, std::size_t count, std::uint8_t* to) const;

 private:
  struct Source {
    std::size_t n;
    std::size_t input;                      // [S x N]
    std::size_t size;                       // bytes of an element
    const std::uint8_t* data = nullptr;     // first element of the piece, in no boxes
    // in boxes:
    std::uint64_t columns = 1;
    std::uint64_t start = 0;                // element of the grid that is the segment's first
    const std::uint8_t* loaded = nullptr;   // patches of the piece
    PatchOrder order;
    RowWalk walk;
    std::uint64_t run = 0;                  // elements that follow one another where it stands
  };

  const std::uint8_t* find(const Source& source, const Patch& patch, std::uint64_t* stride) const;
  std::uint64_t find_run(Source& source, std::uint64_t first);
  void gather(const Source& source, std::uint64_t first, std::size_t count, std::uint8_t* to) const;

  const std::size_t room_;
  const Job* job_ = nullptr;
  const std::uint8_t* const* loaded_ = nullptr;  // [N]
  std::vector<std::uint64_t> taken_;             // [N] bytes of `loaded_` that pieces before had
  Piece piece_{};
  std::size_t most_ = 0;                         // elements that are best gathered at once
  std::vector<Source> plain_;
  std::vector<Source> boxed_;
  std::vector<const std::uint8_t*> inputs_;      // [N]
  std::vector<Buffer> gathered_;                 // [N]
};

}  // namespace ckpt
