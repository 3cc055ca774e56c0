// Sums of products (the C++ side of src/merge/native/gram.ts, which says what each field means): for spans of
// elements, the products of N inputs with each other, summed in float64, and what is not finite in them.
//
// A segment is cut into spans of kSpan elements from its start, so where a span begins depends on nothing but
// the segment. One thread sums a span: element i goes to lane i % kLanes, lanes add in order, and at the end
// they are added in halves (0 + 4, 1 + 5, ...; then 0 + 2, 1 + 3; then 0 + 1). The caller adds spans in
// order. So the bits depend on neither instruction set, threads, tiles nor calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../../engine/engine.h"
#include "../../engine/job.h"

namespace ckpt {

// Elements of a span: as float64 they fill the smallest read request.
constexpr std::uint64_t kSpan = 8192;
constexpr std::uint64_t kSpanBytes = kSpan * sizeof(double);
// The lanes of the sums of so many inputs fit the smallest tile, which this operation has no other use for.
constexpr std::size_t kMostGramInputs = 32;

// A job without outputs.
struct GramJob final : Job {
  bool steps = false;  // sum the squares of the steps from each input to the next too
};

// Numbers of a span: [pairs] sums of products; then, [N] each: sums of squared steps from the input before,
// the largest of those steps, NaNs, infinities. Without GramJob::steps, and for the first input, steps are 0.
std::size_t gram_width(std::size_t inputs);

struct GramResult : CallResult {
  std::vector<double> sums;  // [spans][gram_width], in the order of the segments
};

// Blocks the calling thread; several may call at once.
Status gram(Engine& engine, const GramJob& job, GramResult* result);

}  // namespace ckpt
