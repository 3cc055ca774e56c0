// Sums of products: for spans of elements, the products of N inputs with each other, summed in float64, and
// what is not finite in them.
//
// A segment is cut into spans of kSpan elements from its start, so where a span begins depends on nothing but
// the segment. One thread sums a span: element i goes to lane i % kLanes, lanes add in order, and at the end
// they are added in halves (0 + 4, 1 + 5, ...; then 0 + 2, 1 + 3; then 0 + 1). The caller adds spans in
// order. So the bits depend on neither instruction set, threads, tiles nor calls.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../../io/buffer.h"
#include "../../engine/chunk_runner.h"
#include "../../engine/chunks.h"
#include "../../engine/job.h"

namespace ckpt {

// Elements of a span: as float64 they fill the smallest read request.
constexpr std::uint64_t kSpan = 8192;
constexpr std::uint64_t kSpanBytes = kSpan * sizeof(double);
// The lanes of the sums of so many inputs fit the smallest tile, which this operation has no other use for.
constexpr std::size_t kMostGramInputs = 32;

// Numbers of a span: [pairs] sums of products; then, [N] each: sums of squared steps from the input before,
// the largest of those steps, NaNs, infinities. Without Job::steps, and for the first input, steps are 0.
std::size_t gram_width(std::size_t inputs);

// Finds where the spans of each segment begin.
void number_spans(Job* job);

class GramRunner {
 public:
  explicit GramRunner(const KernelTable& kernels) : kernels_(kernels) {}

  // Sums the spans of a chunk into their places in `sums` ([spans of the job][width]). `loaded` as in
  // ChunkRunner::run.
  Status run(const Job& job, const ChunkPlan& plan, const Chunk& chunk, const std::uint8_t* const* loaded, const std::atomic<bool>& stop,
             double* sums, Tally* tally);

 private:
  void sum_span(const Job& job, std::size_t segment, std::size_t count, bool with_care, double* sums);
  void leave_out_nonfinite(const Job& job, std::size_t count, double* sums);

  const KernelTable& kernels_;
  std::size_t block_ = 0;                    // elements
  Buffer rows_;                              // [N][block] float64
  Buffer lanes_;                             // [pairs + N + N][kLanes]: products, steps, largest squares
  std::vector<const std::uint8_t*> inputs_;  // [N] first element of the span
  std::vector<const std::uint8_t*> cursor_;  // [N] next byte of each loaded input
};

}  // namespace ckpt
