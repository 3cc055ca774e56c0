// Weighted sums of the inputs of each segment, or a copy of one (the C++ side of
// src/merge/native/combine.ts, which says what each field means).
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "../../engine/engine.h"
#include "../../engine/job.h"
#include "../../engine/nonfinite.h"

namespace ckpt {

struct CombineJob final : Job {
  std::vector<std::int32_t> table;                // [S] weight table, or -1 - member to copy, -1 - inputs for zeros
  std::vector<double> weights;                    // [tables x K x N]
  std::vector<std::int32_t> cell;                 // [S + 1]
  std::vector<std::uint64_t> cell_end;            // [cells] element within the segment
  bool crc32 = false;                             // whether CRC-32s of the cells are wanted

  int copied(std::size_t segment) const override { return table[segment] < 0 ? -1 - table[segment] : -1; }
  bool reads(std::size_t segment, std::size_t n) const override;
  // [K x N] weights of a segment that is computed.
  const double* rows(std::size_t segment) const { return &weights[static_cast<std::size_t>(table[segment]) * outputs.size() * inputs]; }
};

// By (cell, member); member -1 - k stands for finite sums that were out of range in output k.
using NonfiniteCounts = std::map<std::pair<std::int32_t, std::int32_t>, Nonfinite>;

struct CombineResult : CallResult {
  NonfiniteCounts nonfinite;
  std::vector<std::uint32_t> cell_crc32;  // [cells x K], where they are wanted
};

// Blocks the calling thread; several may call at once.
Status combine(Engine& engine, const CombineJob& job, CombineResult* result);

}  // namespace ckpt
