#include "job.h"

#include <cmath>

#include "dtype.h"
#include "../ops/gram/gram_runner.h"

namespace ckpt {

std::size_t Job::out_size(std::size_t segment, std::size_t k) const {
  return copies(segment) ? 1 : float_size(out_dtype[segment * outputs.size() + k]);
}

std::size_t Job::in_size(std::size_t segment, std::size_t n) const {
  return copies(segment) ? 1 : float_size(dtype[segment * inputs + n]);
}

bool Job::reads(std::size_t segment, std::size_t n) const {
  if (products) return true;
  const std::int32_t which = table[segment];
  if (which < 0) return static_cast<std::size_t>(-1 - which) == n;
  const double* rows = &weights[static_cast<std::size_t>(which) * outputs.size() * inputs];
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (rows[k * inputs + n] != 0) return true;
  }
  return false;
}

namespace {

Status invalid(const char* message, std::size_t segment) {
  Status status = failure(Code::invalid_arg, message);
  status.segment = static_cast<int>(segment);
  return status;
}

// size <= limit - offset, without overflow
bool fits(std::uint64_t offset, std::uint64_t count, std::uint64_t element, std::uint64_t limit) {
  return offset <= limit && count <= (limit - offset) / element;
}

Status validate_lengths(const Job& job) {
  const std::size_t s = job.segments;
  const std::size_t n = job.inputs;
  const std::size_t k = job.outputs.size();
  if (job.products) {
    const bool columns = job.count.size() == s && job.file.size() == s * n && job.offset.size() == s * n && job.dtype.size() == s * n;
    if (!columns) return failure(Code::invalid_arg, "arrays of a job differ in length");
    return n == 0 || n > kMostGramInputs ? failure(Code::invalid_arg, "products are of 1 to 32 inputs") : Status{};
  }
  if (k == 0) return failure(Code::invalid_arg, "no outputs");
  const bool sizes = job.count.size() == s && job.file.size() == s * n && job.offset.size() == s * n && job.dtype.size() == s * n &&
                     job.out_offset.size() == s * k && job.out_dtype.size() == s * k && job.table.size() == s && job.cell.size() == s + 1;
  if (!sizes) return failure(Code::invalid_arg, "arrays of a job differ in length");
  if (n == 0 ? !job.weights.empty() : job.weights.size() % (k * n) != 0) return failure(Code::invalid_arg, "weights are not whole tables");
  for (const double weight : job.weights) {
    if (!std::isfinite(weight)) return failure(Code::invalid_arg, "a weight is not finite");
  }
  return {};
}

Status validate_cells(const Job& job, std::size_t segment) {
  const std::int32_t first = job.cell[segment];
  const std::int32_t end = job.cell[segment + 1];
  if (first < 0 || end < first || static_cast<std::size_t>(end) > job.cell_end.size()) return invalid("cells run backwards", segment);
  std::uint64_t before = 0;
  for (auto c = static_cast<std::size_t>(first); c < static_cast<std::size_t>(end); ++c) {
    if (job.cell_end[c] < before) return invalid("cells run backwards", segment);
    before = job.cell_end[c];
  }
  if (!job.copies(segment) && before != job.count[segment]) return invalid("cells do not cover their segment", segment);
  return {};
}

Status validate_inputs(const Job& job, std::size_t segment) {
  for (std::size_t n = 0; n < job.inputs; ++n) {
    const std::size_t at = segment * job.inputs + n;
    const std::int32_t file = job.file[at];
    if (file < -1 || file >= static_cast<std::int64_t>(job.files.size())) return invalid("a segment names a file that is not there", segment);
    if (!job.reads(segment, n)) continue;
    if (file < 0) return invalid("an input that takes part has no file", segment);
    if (!job.copies(segment) && !is_float(job.dtype[at])) return invalid("an input is not of a float dtype", segment);
    const std::uint64_t size = job.files[static_cast<std::size_t>(file)]->stat().size;
    if (!fits(job.offset[at], job.count[segment], job.in_size(segment, n), size)) {
      return invalid("a segment reaches beyond its input", segment);
    }
  }
  return {};
}

Status validate_segment(const Job& job, std::size_t segment, const std::vector<bool>& table_is_whole) {
  const std::size_t outputs = job.outputs.size();
  const std::int32_t which = job.table[segment];
  if (which < 0 ? static_cast<std::size_t>(-1 - static_cast<std::int64_t>(which)) >= job.inputs
                : static_cast<std::size_t>(which) >= table_is_whole.size()) {
    return invalid("a segment names a weight table or member that is not there", segment);
  }
  if (which >= 0 && !table_is_whole[static_cast<std::size_t>(which)]) return invalid("all weights of an output are zero", segment);
  const Status status = validate_inputs(job, segment);
  if (!status.ok()) return status;
  for (std::size_t k = 0; k < outputs; ++k) {
    const std::size_t at = segment * outputs + k;
    if (!job.copies(segment) && !is_float(job.out_dtype[at])) return invalid("an output is not of a float dtype", segment);
    if (!fits(job.out_offset[at], job.count[segment], job.out_size(segment, k), job.outputs[k]->size())) {
      return invalid("a segment reaches beyond its output", segment);
    }
    if (segment == 0) continue;
    const std::uint64_t before = job.out_offset[at - outputs] + job.count[segment - 1] * job.out_size(segment - 1, k);
    if (job.out_offset[at] < before) return invalid("segments overlap or run backwards in an output", segment);
  }
  return validate_cells(job, segment);
}

}  // namespace

Status validate(const Job& job) {
  const Status lengths = validate_lengths(job);
  if (!lengths.ok()) return lengths;
  const std::size_t row = job.inputs;
  std::vector<bool> table_is_whole(job.weights.empty() ? 0 : job.weights.size() / (row * job.outputs.size()), true);
  for (std::size_t r = 0; r < table_is_whole.size() * job.outputs.size(); ++r) {
    bool any = false;
    for (std::size_t n = 0; n < row; ++n) any = any || job.weights[r * row + n] != 0;
    if (!any) table_is_whole[r / job.outputs.size()] = false;
  }
  for (const auto& output : job.outputs) {
    if (output->closed()) return failure(Code::invalid_arg, "an output is closed");
  }
  for (std::size_t segment = 0; segment < job.segments; ++segment) {
    const Status status = job.products ? validate_inputs(job, segment) : validate_segment(job, segment, table_is_whole);
    if (!status.ok()) return status;
  }
  return {};
}

Status poisoned(const Job& job, std::size_t segment) {
  Status status = first_poisoned(job.files);
  if (!status.ok()) status.segment = static_cast<int>(segment);
  return status;
}

}  // namespace ckpt
