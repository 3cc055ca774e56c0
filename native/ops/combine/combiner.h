// The arithmetic of one segment: picks kernels for groups of outputs, runs them block by block, and repeats
// with care what came out non-finite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../../kernels/kernel_table.h"
#include "../../io/buffer.h"
#include "../../engine/job.h"

namespace ckpt {

class Combiner {
 public:
  explicit Combiner(const KernelTable& kernels) : kernels_(kernels) {}

  // Chooses how to combine a segment (not a copied one). False where there is no memory for float64.
  bool prepare(const Job& job, std::size_t segment);

  // Elements [first, first + count) of the prepared segment. `inputs` [N] and `outputs` [K] point at element
  // `first`; inputs without part are ignored.
  void run(std::uint64_t first, std::size_t count, const std::uint8_t* const* inputs, std::uint8_t* const* outputs, NonfiniteCounts* counts);

 private:
  // Outputs of one dtype that are computed together.
  struct Group {
    BlockKernel kernel;
    int small = -1;                    // SmallFloat of its outputs, which the kernel leaves as float64 for another to encode
    std::vector<std::size_t> outputs;  // at most kMaxGroup
    std::vector<std::size_t> members;  // inputs with a weight in any of them
    std::vector<double> weights;       // [outputs x members]
  };

  void add_group(const double* rows, const std::vector<std::size_t>& outputs);
  bool run_groups(std::size_t count, const void* const* inputs, std::uint8_t* const* outputs);
  void run_with_care(std::uint64_t first, std::size_t count, const std::uint8_t* const* inputs, std::uint8_t* const* outputs,
                     NonfiniteCounts* counts) const;

  const KernelTable& kernels_;
  const Job* job_ = nullptr;
  std::size_t segment_ = 0;
  bool widened_ = false;  // inputs of several dtypes, or FP8
  std::size_t block_ = 0;  // elements
  std::vector<std::size_t> members_;
  std::vector<Group> groups_;
  std::vector<const void*> sources_;        // [N]
  std::vector<const std::uint8_t*> from_;   // [N] cursors of run()
  std::vector<std::uint8_t*> to_;           // [K]
  Buffer scratch_;                          // [N x block] widened inputs, [kMaxGroup x block] sums that become FP8
};

}  // namespace ckpt
