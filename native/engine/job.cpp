#include "job.h"

#include "dtype.h"

namespace ckpt {

std::size_t Job::out_size(std::size_t segment, std::size_t k) const {
  return copied(segment) >= 0 ? 1 : float_size(out_dtype[segment * outputs.size() + k]);
}

std::size_t Job::in_size(std::size_t segment, std::size_t n) const {
  return copied(segment) >= 0 ? 1 : float_size(dtype[segment * inputs + n]);
}

namespace {

// size <= limit - offset, without overflow
bool fits(std::uint64_t offset, std::uint64_t count, std::uint64_t element, std::uint64_t limit) {
  return offset <= limit && count <= (limit - offset) / element;
}

}  // namespace

Status invalid(const char* message, std::size_t segment) {
  Status status = failure(Code::invalid_arg, message);
  status.segment = static_cast<int>(segment);
  return status;
}

Status validate_lengths(const Job& job) {
  const std::size_t s = job.segments;
  const std::size_t sn = s * job.inputs;
  const std::size_t sk = s * job.outputs.size();
  const bool sizes = job.count.size() == s && job.file.size() == sn && job.offset.size() == sn && job.dtype.size() == sn &&
                     job.out_offset.size() == sk && job.out_dtype.size() == sk;
  if (!sizes) return failure(Code::invalid_arg, "arrays of a job differ in length");
  for (const auto& output : job.outputs) {
    if (output->closed()) return failure(Code::invalid_arg, "an output is closed");
  }
  return {};
}

Status validate_inputs(const Job& job, std::size_t segment) {
  const bool computed = job.copied(segment) < 0;
  for (std::size_t n = 0; n < job.inputs; ++n) {
    const std::size_t at = segment * job.inputs + n;
    const std::int32_t file = job.file[at];
    if (file < -1 || file >= static_cast<std::int64_t>(job.files.size())) return invalid("a segment names a file that is not there", segment);
    if (!job.reads(segment, n)) continue;
    if (file < 0) return invalid("an input that takes part has no file", segment);
    if (computed && !is_float(job.dtype[at])) return invalid("an input is not of a float dtype", segment);
    const std::uint64_t size = job.files[static_cast<std::size_t>(file)]->stat().size;
    if (!fits(job.offset[at], job.count[segment], job.in_size(segment, n), size)) {
      return invalid("a segment reaches beyond its input", segment);
    }
  }
  return {};
}

Status validate_outputs(const Job& job, std::size_t segment) {
  const std::size_t outputs = job.outputs.size();
  const bool computed = job.copied(segment) < 0;
  for (std::size_t k = 0; k < outputs; ++k) {
    const std::size_t at = segment * outputs + k;
    if (computed && !is_float(job.out_dtype[at])) return invalid("an output is not of a float dtype", segment);
    if (!fits(job.out_offset[at], job.count[segment], job.out_size(segment, k), job.outputs[k]->size())) {
      return invalid("a segment reaches beyond its output", segment);
    }
    if (segment == 0) continue;
    const std::uint64_t before = job.out_offset[at - outputs] + job.count[segment - 1] * job.out_size(segment - 1, k);
    if (job.out_offset[at] < before) return invalid("segments overlap or run backwards in an output", segment);
  }
  return {};
}

Status poisoned(const Job& job, std::size_t segment) {
  Status status = first_poisoned(job.files);
  if (!status.ok()) status.segment = static_cast<int>(segment);
  return status;
}

void list_mappings(const Job& job, std::vector<Mapping*>* mappings) {
  mappings->clear();
  for (const auto& file : job.files) {
    if (file->mode() == InputMode::map && file->mapping().length != 0) mappings->push_back(&file->mapping());
  }
}

}  // namespace ckpt
