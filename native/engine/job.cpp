#include "job.h"

#include <limits>

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

bool lengths_agree(const Boxes& boxes, std::size_t inputs) {
  const std::size_t count = boxes.row.size();
  if (boxes.first.empty()) return count == 0 && boxes.columns.empty() && boxes.start.empty();
  if (boxes.first.size() != inputs + 1 || boxes.columns.size() != inputs || boxes.start.size() != inputs) return false;
  if (boxes.first.front() != 0 || static_cast<std::size_t>(boxes.first.back()) != count) return false;
  for (std::size_t i = 0; i < inputs; ++i) {
    if (boxes.first[i] > boxes.first[i + 1]) return false;
  }
  return boxes.rows.size() == count && boxes.column.size() == count && boxes.width.size() == count && boxes.file.size() == count &&
         boxes.offset.size() == count && boxes.row_stride.size() == count;
}

// Whether a box whose sides are not 0 lies in its file.
bool box_fits(const Job& job, std::size_t b, std::uint64_t element) {
  const Boxes& boxes = job.boxes;
  const std::uint64_t size = job.files[static_cast<std::size_t>(boxes.file[b])]->stat().size;
  if (!fits(boxes.offset[b], boxes.width[b], element, size)) return false;
  const std::uint64_t left = size - boxes.offset[b] - boxes.width[b] * element;
  return boxes.rows[b] == 1 || boxes.row_stride[b] <= left / (boxes.rows[b] - 1);
}

// That the boxes of an input hold every element of the segment, and are in the order that PatchWalk relies
// on.
Status validate_boxes(const Job& job, std::size_t segment, std::size_t n) {
  const Boxes& boxes = job.boxes;
  const std::size_t input = segment * job.inputs + n;
  const std::uint64_t element = job.in_size(segment, n);
  const std::uint64_t columns = boxes.columns[input];
  const std::uint64_t start = boxes.start[input];
  if (columns == 0) return invalid("a grid has no columns", segment);
  // No offset into the grid overflows, in bytes either.
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max() / element;
  if (start > most || job.count[segment] > most - start) return invalid("a segment is too large", segment);
  const auto past = static_cast<std::size_t>(boxes.first[input + 1]);
  auto band = static_cast<std::size_t>(boxes.first[input]);
  if (boxes.row[band] > start / columns) return invalid("boxes do not begin with their segment", segment);
  std::uint64_t column = 0;  // to the left of which the band is filled
  for (std::size_t b = band; b < past; ++b) {
    if (column == columns) {
      if (boxes.row[b] != boxes.row[band] + boxes.rows[band]) return invalid("bands of boxes do not follow one another", segment);
      band = b;
      column = 0;
    }
    if (boxes.rows[b] == 0 || boxes.width[b] == 0) return invalid("a box is empty", segment);
    if (boxes.row[b] != boxes.row[band] || boxes.rows[b] != boxes.rows[band] || boxes.column[b] != column || boxes.width[b] > columns - column) {
      return invalid("boxes do not fill a band", segment);
    }
    if (boxes.row[b] > most / columns || boxes.rows[b] > most / columns - boxes.row[b]) return invalid("a box is too large", segment);
    if (boxes.file[b] < 0 || boxes.file[b] >= static_cast<std::int64_t>(job.files.size())) return invalid("a box names a file that is not there", segment);
    if (!box_fits(job, b, element)) return invalid("a box reaches beyond its file", segment);
    column += boxes.width[b];
  }
  if (column != columns) return invalid("boxes do not fill a band", segment);
  if ((boxes.row[band] + boxes.rows[band]) * columns < start + job.count[segment]) return invalid("boxes end before their segment", segment);
  return {};
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
                     job.out_offset.size() == sk && job.out_dtype.size() == sk && lengths_agree(job.boxes, sn);
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
    if (computed && !is_float(job.dtype[at])) return invalid("an input is not of a float dtype", segment);
    if (job.boxes.hold(at)) {
      const Status status = validate_boxes(job, segment, n);
      if (!status.ok()) return status;
      continue;
    }
    if (file < 0) return invalid("an input that takes part has no file", segment);
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
