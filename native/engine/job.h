// One call as the core sees it (the C++ side of CombineJob and GramJob in src/merge/native/binding.ts): S
// segments, N inputs, K outputs. A job of products has no outputs and none of the columns that say what
// becomes of the inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "../io/input.h"
#include "../io/output.h"
#include "../io/status.h"

namespace ckpt {

struct Job {
  std::vector<std::shared_ptr<Input>> files;
  std::vector<std::shared_ptr<Output>> outputs;   // [K]
  std::size_t segments = 0;
  std::size_t inputs = 0;
  std::vector<std::uint64_t> count;               // [S] elements; bytes for a copied segment
  std::vector<std::int32_t> file;                 // [S x N] index into files, -1 = no part
  std::vector<std::uint64_t> offset;              // [S x N] bytes
  std::vector<std::uint8_t> dtype;                // [S x N]
  std::vector<std::uint64_t> out_offset;          // [S x K] bytes
  std::vector<std::uint8_t> out_dtype;            // [S x K]
  std::vector<std::int32_t> table;                // [S] weight table, or -1 - member to copy
  std::vector<double> weights;                    // [tables x K x N]
  std::vector<std::int32_t> cell;                 // [S + 1]
  std::vector<std::uint64_t> cell_end;            // [cells] element within the segment
  const std::int32_t* cancel = nullptr;           // shared flag, may be null

  bool products = false;                          // sum products of the inputs (gram.h) instead of combining them
  bool steps = false;                             // and squares of the steps from each input to the next
  std::vector<std::size_t> first_span;            // [S + 1] products: where each segment's spans begin

  bool copies(std::size_t segment) const { return !products && table[segment] < 0; }
  // Bytes of one element of a segment in output k.
  std::size_t out_size(std::size_t segment, std::size_t k) const;
  // Bytes of one element of a segment in member n.
  std::size_t in_size(std::size_t segment, std::size_t n) const;
  // Whether member n is read for this segment.
  bool reads(std::size_t segment, std::size_t n) const;
  bool cancelled() const { return cancel != nullptr && __atomic_load_n(cancel, __ATOMIC_RELAXED) != 0; }
};

// Everything that TypeScript has promised, checked again: a wrong number here would be a wild read.
Status validate(const Job& job);

// Why an input can no longer be trusted: a page of its mapping was lost (and read as zeros), on whichever
// thread. `segment` is where it was noticed.
Status poisoned(const Job& job, std::size_t segment);

struct Nonfinite {
  std::uint64_t nan = 0;
  std::uint64_t inf = 0;
  std::uint64_t saturated = 0;  // became the largest finite number
};
// By (cell, member); member -1 - k stands for finite sums that were out of range in output k.
using NonfiniteCounts = std::map<std::pair<std::int32_t, std::int32_t>, Nonfinite>;

struct JobResult {
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_written = 0;
  std::vector<std::uint32_t> crc;         // [K]
  std::vector<std::uint64_t> crc_length;  // [K]
  NonfiniteCounts nonfinite;
  std::vector<double> sums;               // products: [spans][gram_width]
  double read_seconds = 0;
  double compute_seconds = 0;
  double write_seconds = 0;
};

}  // namespace ckpt
