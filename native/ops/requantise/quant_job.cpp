#include "quant_job.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "../../engine/dtype.h"
#include "../../engine/job.h"

namespace ckpt {
namespace {

// Elements of a task, where block-rows allow: its codes stay in cache between the kernels and the checksum,
// and a few tasks make a short call.
constexpr std::uint64_t kTaskElements = std::uint64_t{1} << 18;
constexpr std::uint64_t kMost = std::uint64_t{1} << 53;

bool fits(std::uint64_t offset, std::uint64_t bytes, std::uint64_t limit) { return offset <= limit && bytes <= limit - offset; }

bool lengths_agree(const QuantJob& job) {
  const std::size_t s = job.strips;
  const std::size_t sn = s * job.inputs;
  const std::size_t sk = s * job.outputs.size();
  return job.rows.size() == s && job.cols.size() == s && job.block_rows.size() == s && job.block_cols.size() == s && job.table.size() == s &&
         job.file.size() == sn && job.offset.size() == sn && job.encoding.size() == sn && job.scale_file.size() == sn &&
         job.scale_offset.size() == sn && job.scale_dtype.size() == sn && job.out_offset.size() == sk && job.out_encoding.size() == sk &&
         job.out_scale_offset.size() == sk && job.out_scale_dtype.size() == sk && job.power_of_two.size() == sk && job.transpose.size() == sk &&
         job.amax.size() == sk && job.newest.size() == sk;
}

Status validate_shape(const QuantJob& job, std::size_t s) {
  const std::uint64_t rows = job.rows[s];
  const std::uint64_t cols = job.cols[s];
  if (rows == 0 || cols == 0 || job.block_rows[s] == 0 || job.block_cols[s] == 0) return invalid("a strip or its blocks are empty", s);
  if (cols > kMost / 8 / rows || job.block_rows[s] > kMost || job.block_cols[s] > kMost) return invalid("a strip is too large", s);
  bool nibbles = false;
  for (std::size_t n = 0; n < job.inputs; ++n) nibbles = nibbles || job.encoding[s * job.inputs + n] == kMxfp4Code;
  for (std::size_t k = 0; k < job.outputs.size(); ++k) nibbles = nibbles || job.out_encoding[s * job.outputs.size() + k] == kMxfp4Code;
  if (nibbles && (cols % 32 != 0 || job.block_cols[s] != 32 || job.block_rows[s] != 1)) return invalid("MXFP4 rows are not blocks of 32", s);
  return {};
}

Status validate_member(const QuantJob& job, std::size_t s, std::size_t n) {
  const std::size_t at = s * job.inputs + n;
  const auto files = static_cast<std::int64_t>(job.files.size());
  if (job.file[at] < -1 || job.file[at] >= files || job.scale_file[at] < -1 || job.scale_file[at] >= files) {
    return invalid("a strip names a file that is not there", s);
  }
  if (!job.reads(s, n)) return {};
  if (job.file[at] < 0) return invalid("a member that takes part has no file", s);
  if (encoding_of(job.encoding[at]) < 0) return invalid("an input is not of a known encoding", s);
  const std::uint64_t size = job.files[static_cast<std::size_t>(job.file[at])]->stat().size;
  if (!fits(job.offset[at], encoded_bytes(job.encoding[at], job.rows[s] * job.cols[s]), size)) return invalid("a strip reaches beyond its input", s);
  if (job.scale_file[at] < 0) return {};
  const std::uint64_t scale = scale_bytes(job.scale_dtype[at]);
  if (scale == 0) return invalid("scales are not of a known dtype", s);
  const std::uint64_t block_rows = (job.rows[s] - 1) / job.block_rows[s] + 1;
  const std::uint64_t limit = job.files[static_cast<std::size_t>(job.scale_file[at])]->stat().size;
  if (!fits(job.scale_offset[at], block_rows * job.blocks_of_row(s) * scale, limit)) return invalid("scales reach beyond their input", s);
  return {};
}

Status validate_output(const QuantJob& job, std::size_t s, std::size_t k) {
  const std::size_t at = s * job.outputs.size() + k;
  const std::uint8_t code = job.out_encoding[at];
  const std::uint64_t size = job.outputs[k]->size();
  const std::uint64_t elements = job.rows[s] * job.cols[s];
  if (encoding_of(code) < 0) return invalid("an output is not of a known encoding", s);
  if (job.out_offset[at] < -1 || job.out_scale_offset[at] < -1) return invalid("an output offset is negative", s);
  std::uint64_t extent = encoded_bytes(code, elements);
  if (job.transpose[at] != 0) {
    if (!is_wide_float(code)) return invalid("a quantised output cannot be transposed", s);
    if (job.transpose[at] < job.rows[s] || job.transpose[at] > kMost / 8 / job.cols[s]) return invalid("a transposed row is of a wrong length", s);
    extent = ((job.cols[s] - 1) * job.transpose[at] + job.rows[s]) * float_size(code);
  }
  if (job.out_offset[at] >= 0 && !fits(static_cast<std::uint64_t>(job.out_offset[at]), extent, size)) {
    return invalid("a strip reaches beyond its output", s);
  }
  if (job.newest[at] < -1 || job.newest[at] >= static_cast<std::int64_t>(job.inputs)) return invalid("the newest member is not there", s);
  if (!std::isnan(job.amax[at]) && !(std::isfinite(job.amax[at]) && job.amax[at] >= 0)) return invalid("an amax is not a magnitude", s);
  if (is_wide_float(code)) return job.out_scale_offset[at] < 0 ? Status{} : invalid("a dequantised output has scales", s);
  const std::uint64_t scale = scale_bytes(job.out_scale_dtype[at]);
  if (scale == 0 || (code == kMxfp4Code && scale != 1)) return invalid("output scales are not of a known dtype", s);
  const std::uint64_t block_rows = (job.rows[s] - 1) / job.block_rows[s] + 1;
  if (job.out_scale_offset[at] >= 0 && !fits(static_cast<std::uint64_t>(job.out_scale_offset[at]), block_rows * job.blocks_of_row(s) * scale, size)) {
    return invalid("scales reach beyond their output", s);
  }
  return {};
}

Status validate_table(const QuantJob& job, std::size_t s) {
  const std::size_t table = job.outputs.size() * job.inputs;
  if (job.table[s] < 0 || static_cast<std::size_t>(job.table[s]) >= job.weights.size() / table) return invalid("a strip names a weight table that is not there", s);
  for (std::size_t k = 0; k < job.outputs.size(); ++k) {
    bool any = false;
    for (std::size_t n = 0; n < job.inputs; ++n) any = any || job.weight(s, k, n) != 0;
    if (!any) return invalid("all weights of an output are zero", s);
  }
  return {};
}

// Rows may be parted anywhere unless an output's codes wait for the amax of a whole block.
bool parts_anywhere(const QuantJob& job, std::size_t s) {
  for (std::size_t k = 0; k < job.outputs.size(); ++k) {
    const std::size_t at = s * job.outputs.size() + k;
    const bool own_amax = !is_wide_float(job.out_encoding[at]) && std::isnan(job.amax[at]);
    if (own_amax && (job.out_offset[at] >= 0 || job.out_scale_offset[at] >= 0)) return false;
  }
  return true;
}

std::uint64_t rows_of_task(const QuantJob& job, std::size_t s) {
  for (std::size_t k = 0; k < job.outputs.size(); ++k) {
    if (job.transpose[s * job.outputs.size() + k] != 0) return job.rows[s];
  }
  // Whole block-rows, or with scales that serve more rows than the strip has, any number of rows.
  const bool whole = job.block_rows[s] < job.rows[s] || !parts_anywhere(job, s);
  const std::uint64_t unit = whole ? std::min(job.block_rows[s], job.rows[s]) : 1;
  return unit * std::max<std::uint64_t>(1, kTaskElements / unit / job.cols[s]);
}

}  // namespace

bool QuantJob::reads(std::size_t strip, std::size_t n) const {
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (weight(strip, k, n) != 0 || newest[strip * outputs.size() + k] == static_cast<std::int32_t>(n)) return true;
  }
  return false;
}

std::size_t scale_bytes(std::uint8_t dtype) {
  switch (dtype) {
    case kF32: return 4;
    case kBF16:
    case kF16: return 2;
    case kU8Code:
    case kF8E8M0Code: return 1;
    default: return 0;
  }
}

Status validate(const QuantJob& job) {
  if (job.outputs.empty() || job.inputs == 0) return failure(Code::invalid_arg, "no outputs or no inputs");
  if (!lengths_agree(job)) return failure(Code::invalid_arg, "arrays of a job differ in length");
  if (job.weights.size() % (job.outputs.size() * job.inputs) != 0) return failure(Code::invalid_arg, "weights are not whole tables");
  for (const double weight : job.weights) {
    if (!std::isfinite(weight)) return failure(Code::invalid_arg, "a weight is not finite");
  }
  for (const auto& output : job.outputs) {
    if (output->closed()) return failure(Code::invalid_arg, "an output is closed");
  }
  for (std::size_t s = 0; s < job.strips; ++s) {
    Status status = validate_table(job, s);
    if (status.ok()) status = validate_shape(job, s);
    for (std::size_t k = 0; k < job.outputs.size() && status.ok(); ++k) status = validate_output(job, s, k);
    for (std::size_t n = 0; n < job.inputs && status.ok(); ++n) status = validate_member(job, s, n);
    if (!status.ok()) return status;
  }
  return {};
}

std::vector<QuantTask> plan_tasks(const QuantJob& job) {
  std::vector<QuantTask> tasks;
  for (std::size_t s = 0; s < job.strips; ++s) {
    const std::uint64_t rows = rows_of_task(job, s);
    for (std::uint64_t first = 0; first < job.rows[s]; first += rows) tasks.push_back({s, first, std::min(rows, job.rows[s] - first)});
  }
  return tasks;
}

}  // namespace ckpt
