// The arithmetic of one segment: picks kernels for groups of outputs, runs them block by block, and repeats
// with care what came out non-finite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../../engine/chunk_runner.h"
#include "../../io/buffer.h"
#include "../../kernels/kernel_table.h"
#include "cell_sums.h"
#include "combine.h"

namespace ckpt {

class Combiner final : public Arithmetic {
 public:
  explicit Combiner(const KernelTable& kernels) : kernels_(kernels) {}

  // Turns to a chunk of a job; what is not finite is counted in `counts`, and cells are summed in `sums`,
  // where that is not null.
  void begin(const CombineJob& job, NonfiniteCounts* counts, CellSums* sums) {
    job_ = &job;
    counts_ = counts;
    sums_ = sums;
  }
  // Chooses how to combine a segment. Code::no_memory where there is none for float64.
  Status prepare(std::size_t segment) override;
  void run(std::uint64_t first, std::size_t count, const std::uint8_t* const* inputs, std::uint8_t* const* outputs) override;
  void made(std::size_t segment, std::uint64_t first, std::size_t count, const std::uint8_t* const* outputs) override {
    if (sums_ != nullptr) sums_->add(*job_, segment, first, count, outputs);
  }

 private:
  // Outputs of one dtype that are computed together.
  struct Group {
    BlockKernel kernel;
    // SmallFloat of its outputs, which the kernel leaves as float64 for another to encode
    int small = -1;
    std::vector<std::size_t> outputs;  // at most kMaxGroup
    std::vector<std::size_t> members;  // inputs with a weight in any of them
    std::vector<double> weights;       // [outputs x members]
  };

  void add_group(const double* rows, const std::vector<std::size_t>& outputs);
  bool run_groups(std::size_t count, const void* const* inputs, std::uint8_t* const* outputs);
  void run_with_care(std::uint64_t first, std::size_t count, const std::uint8_t* const* inputs, std::uint8_t* const* outputs) const;

  const KernelTable& kernels_;
  const CombineJob* job_ = nullptr;
  NonfiniteCounts* counts_ = nullptr;
  CellSums* sums_ = nullptr;
  std::size_t segment_ = 0;
  bool widened_ = false;  // inputs of several dtypes, or FP8
  std::size_t block_ = 0;  // elements
  std::vector<std::size_t> members_;
  std::vector<Group> groups_;
  std::vector<const void*> sources_;        // [N]
  std::vector<const std::uint8_t*> from_;   // [N] cursors of run()
  std::vector<std::uint8_t*> to_;           // [K]
  // [N x block] widened inputs, [kMaxGroup x block] sums that become FP8
  Buffer scratch_;
};

}  // namespace ckpt
