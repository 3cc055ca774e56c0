// The arithmetic of sums of products on one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../../engine/input_feed.h"
#include "../../engine/operation.h"
#include "../../io/buffer.h"
#include "gram.h"

namespace ckpt {

class GramRunner {
 public:
  GramRunner(const KernelTable& kernels, const EngineShape&) : kernels_(kernels) {}

  // Sums the spans of a chunk into their places in `sums` ([spans of the job][width]), which `first_span`
  // tells for each segment.
  Status run(const GramJob& job, const ChunkWork& work, InputFeed& feed, const std::vector<std::size_t>& first_span, double* sums, Tally* tally);

 private:
  // Of elements [first, first + count) of a segment.
  void sum_span(const GramJob& job, std::size_t segment, std::uint64_t first, std::size_t count, InputFeed& feed, bool with_care, double* sums);
  void add_block(const GramJob& job, const std::uint8_t* dtypes, const std::uint8_t* const* from, std::size_t at, std::size_t block, bool with_care,
                 double* sums);
  void leave_out_nonfinite(const GramJob& job, std::size_t count, double* sums);

  const KernelTable& kernels_;
  std::size_t block_ = 0;           // elements
  Buffer rows_;                     // [N][block] float64
  Buffer lanes_;                    // [pairs + N + N][kLanes]: products, steps, largest squares
  std::vector<Mapping*> mappings_;  // of the job's files
};

}  // namespace ckpt
