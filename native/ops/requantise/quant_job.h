// One requantise call as the core sees it (the C++ side of RequantiseJob in src/merge/native/requantise.ts,
// which says what each field means): S strips of matrices, N inputs, K outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "../../engine/nonfinite.h"
#include "../../io/input.h"
#include "../../io/output.h"
#include "../../io/status.h"

namespace ckpt {

struct QuantJob {
  std::vector<std::shared_ptr<Input>> files;
  std::vector<std::shared_ptr<Output>> outputs;  // [K]
  std::size_t strips = 0;
  std::size_t inputs = 0;
  std::vector<std::uint64_t> rows, cols, block_rows, block_cols;  // [S]
  std::vector<std::int32_t> file;               // [S x N]
  std::vector<std::uint64_t> offset;            // [S x N]
  std::vector<std::uint8_t> encoding;           // [S x N]
  std::vector<std::int32_t> scale_file;         // [S x N]
  std::vector<std::uint64_t> scale_offset;      // [S x N]
  std::vector<std::uint8_t> scale_dtype;        // [S x N]
  std::vector<std::int64_t> out_offset;         // [S x K]
  std::vector<std::uint8_t> out_encoding;       // [S x K]
  std::vector<std::int64_t> out_scale_offset;   // [S x K]
  std::vector<std::uint8_t> out_scale_dtype;    // [S x K]
  std::vector<std::uint8_t> power_of_two;       // [S x K]
  std::vector<std::uint64_t> transpose;         // [S x K]
  std::vector<double> amax;                     // [S x K]
  std::vector<std::int32_t> table;              // [S]
  std::vector<double> weights;                  // [tables x K x N]
  std::vector<std::int32_t> newest;             // [S x K]
  const std::int32_t* cancel = nullptr;         // shared flag, may be null

  double weight(std::size_t strip, std::size_t k, std::size_t n) const {
    return weights[(static_cast<std::size_t>(table[strip]) * outputs.size() + k) * inputs + n];
  }
  // Whether member n is read for a strip: it has a weight in some output, or is what some output's change is
  // measured from.
  bool reads(std::size_t strip, std::size_t n) const;
  std::uint64_t blocks_of_row(std::size_t strip) const { return (cols[strip] + block_cols[strip] - 1) / block_cols[strip]; }
  bool cancelled() const { return cancel != nullptr && __atomic_load_n(cancel, __ATOMIC_RELAXED) != 0; }
};

// Bytes of one scale; 0 where the dtype is none for scales.
std::size_t scale_bytes(std::uint8_t dtype);

// Everything that TypeScript has promised, checked again: a wrong number here would be a wild read.
Status validate(const QuantJob& job);

// What one thread does in one go: some rows of a strip, all of them where an output is transposed. It depends
// on the job alone, so that sums over tasks in their order are the same whatever the threads.
struct QuantTask {
  std::size_t strip;
  std::uint64_t first;  // row
  std::uint64_t rows;
};
std::vector<QuantTask> plan_tasks(const QuantJob& job);

// What is known of one output of a task, or of a strip.
struct QuantFigures {
  std::uint32_t crc = 0;
  std::uint64_t crc_length = 0;
  std::uint32_t scale_crc = 0;
  std::uint64_t scale_length = 0;
  double amax = 0;
  double error = 0;
  double change = 0;
  std::uint64_t saturated = 0;
  bool identical = true;
};

struct QuantResult {
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_written = 0;
  double read_seconds = 0;
  double compute_seconds = 0;
  double write_seconds = 0;
  std::vector<QuantFigures> figures;                                   // [S x K]
  std::map<std::pair<std::size_t, std::size_t>, Nonfinite> nonfinite;  // by (strip, member)
};

}  // namespace ckpt
