#include "quant_worker.h"

#include <algorithm>
#include <chrono>

#include "../../engine/dtype.h"
#include "../../engine/float_env.h"
#include "../../io/crc32c.h"
#include "../../io/fault_guard.h"

namespace ckpt {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Block-rows before a task, and in it. A task that begins inside a block-row shares the only one there is.
std::uint64_t block_rows_before(const QuantJob& job, const QuantTask& task) { return task.first / job.block_rows[task.strip]; }
std::uint64_t block_rows_of(const QuantJob& job, const QuantTask& task) { return (task.rows - 1) / job.block_rows[task.strip] + 1; }

Range scales_extent(const QuantJob& job, const QuantTask& task, std::size_t n) {
  const std::size_t at = task.strip * job.inputs + n;
  const std::uint64_t row = job.blocks_of_row(task.strip) * scale_bytes(job.scale_dtype[at]);
  return {static_cast<std::size_t>(job.scale_file[at]), job.scale_offset[at] + block_rows_before(job, task) * row, block_rows_of(job, task) * row};
}

}  // namespace

Range codes_extent(const QuantJob& job, const QuantTask& task, std::size_t n) {
  const std::size_t at = task.strip * job.inputs + n;
  const std::uint64_t cols = job.cols[task.strip];
  const std::uint64_t before = encoded_bytes(job.encoding[at], task.first * cols);
  return {static_cast<std::size_t>(job.file[at]), job.offset[at] + before, encoded_bytes(job.encoding[at], task.rows * cols)};
}

std::uint64_t QuantWorker::bytes(const QuantJob& job, const QuantTask& task) {
  std::uint64_t total = Quantiser::scratch_bytes(job, task.strip);
  for (std::size_t n = 0; n < job.inputs; ++n) {
    if (!job.reads(task.strip, n)) continue;
    const auto held = [&](const Range& extent) { return job.files[extent.file]->mode() == InputMode::read ? extent.size : 0; };
    total += held(codes_extent(job, task, n));
    if (job.scale_file[task.strip * job.inputs + n] >= 0) total += held(scales_extent(job, task, n));
  }
  std::uint64_t out = 0;  // one output at a time
  for (std::size_t k = 0; k < job.outputs.size(); ++k) {
    const std::size_t at = task.strip * job.outputs.size() + k;
    const std::uint64_t cols = job.transpose[at] == 0 ? job.cols[task.strip] : std::min(kTransposeCols, job.cols[task.strip]);
    out = std::max(out, encoded_bytes(job.out_encoding[at], task.rows * cols));
  }
  return total + out + block_rows_of(job, task) * job.blocks_of_row(task.strip) * sizeof(float);
}

Status QuantWorker::fetch(const Range& extent, Buffer* own, const std::uint8_t** data) {
  Input& file = *job_.files[extent.file];
  bytes_read_ += extent.size;
  if (file.mode() == InputMode::map) {
    *data = file.mapping().base + extent.offset;
    return {};
  }
  if (!own->reserve(extent.size)) return failure(Code::no_memory, "no memory for reads");
  *data = own->data();
  const auto start = Clock::now();
  Status status = file.read(extent.offset, own->data(), extent.size);
  read_seconds_ += seconds_since(start);
  if (!status.ok()) status.file = static_cast<int>(extent.file);
  return status;
}

Status QuantWorker::load(const QuantTask& task) {
  sources_.assign(job_.inputs, {});
  for (std::size_t n = 0; n < job_.inputs; ++n) {
    if (!job_.reads(task.strip, n)) continue;
    Status status = fetch(codes_extent(job_, task, n), &mine_[n].codes, &sources_[n].codes);
    if (status.ok() && job_.scale_file[task.strip * job_.inputs + n] >= 0) {
      status = fetch(scales_extent(job_, task, n), &mine_[n].scales, &sources_[n].scales);
    }
    if (!status.ok()) return status;
  }
  return {};
}

Status QuantWorker::perform(std::size_t index) {
  const QuantTask& task = run_.tasks[index];
  Status status = load(task);
  if (status.ok()) {
    const Gate::Place place(run_.gate);
    status = compute(task, &run_.figures[index * job_.outputs.size()]);
  }
  if (!status.ok() && status.segment < 0) status.segment = static_cast<int>(task.strip);
  return status;
}

Status QuantWorker::compute(const QuantTask& task, QuantFigures* figures) {
  const DefaultFloatEnv float_env;
  const FaultGuard guard(run_.mappings.data(), run_.mappings.size());
  const auto start = Clock::now();
  const double written = write_seconds_;
  Status status;
  if (!quantiser_.begin(job_, task, sources_.data())) return failure(Code::no_memory, "no memory for a panel");
  for (std::size_t k = 0; k < job_.outputs.size() && status.ok(); ++k) {
    const bool turned = job_.transpose[task.strip * job_.outputs.size() + k] != 0;
    status = turned ? transpose(task, k, &figures[k]) : quantise(task, k, &figures[k]);
  }
  if (status.ok() && quantiser_.nonfinite()) {
    std::vector<Nonfinite> counts(job_.inputs);
    quantiser_.count_nonfinite(&counts);
    for (std::size_t n = 0; n < counts.size(); ++n) {
      if (counts[n].nan + counts[n].inf == 0) continue;
      Nonfinite& sum = nonfinite_[{task.strip, n}];
      sum.add(counts[n]);
    }
  }
  compute_seconds_ += seconds_since(start) - (write_seconds_ - written);
  return status;
}

Status QuantWorker::quantise(const QuantTask& task, std::size_t k, QuantFigures* figures) {
  const std::size_t at = task.strip * job_.outputs.size() + k;
  const std::uint64_t cols = job_.cols[task.strip];
  const std::uint8_t code = job_.out_encoding[at];
  const std::uint64_t row = job_.blocks_of_row(task.strip) * scale_bytes(job_.out_scale_dtype[at]);
  const std::uint64_t bytes = job_.out_offset[at] < 0 ? 0 : encoded_bytes(code, task.rows * cols);
  // A scale that several tasks share is written by the first.
  const bool begins = task.first % job_.block_rows[task.strip] == 0;
  const std::uint64_t scales = job_.out_scale_offset[at] < 0 || !begins ? 0 : block_rows_of(job_, task) * row;
  if (!codes_.reserve(bytes) || !scales_.reserve(scales)) return failure(Code::no_memory, "no memory for an output");
  quantiser_.quantise(k, bytes == 0 ? nullptr : codes_.data(), scales == 0 ? nullptr : scales_.data(), figures);
  Status status;
  if (bytes != 0) {
    figures->crc = crc32c(0, codes_.data(), bytes);
    figures->crc_length = bytes;
    status = write(k, static_cast<std::uint64_t>(job_.out_offset[at]) + encoded_bytes(code, task.first * cols), codes_.data(), bytes);
  }
  if (scales != 0 && status.ok()) {
    figures->scale_crc = crc32c(0, scales_.data(), scales);
    figures->scale_length = scales;
    status = write(k, static_cast<std::uint64_t>(job_.out_scale_offset[at]) + block_rows_before(job_, task) * row, scales_.data(), scales);
  }
  return status;
}

// Such a task is the whole strip. Where that is a whole matrix too, its columns follow one another in the
// file.
Status QuantWorker::transpose(const QuantTask& task, std::size_t k, QuantFigures* figures) {
  const std::size_t at = task.strip * job_.outputs.size() + k;
  const std::uint64_t size = float_size(job_.out_encoding[at]);
  const std::uint64_t length = job_.transpose[at];
  const std::uint64_t cols = job_.cols[task.strip];
  if (job_.out_offset[at] < 0) return {};
  if (!codes_.reserve(std::min(kTransposeCols, cols) * task.rows * size)) return failure(Code::no_memory, "no memory for an output");
  for (std::uint64_t first = 0; first < cols; first += kTransposeCols) {
    const std::uint64_t count = std::min(kTransposeCols, cols - first);
    quantiser_.transpose(k, first, count, codes_.data(), figures);
    const std::uint64_t offset = static_cast<std::uint64_t>(job_.out_offset[at]) + first * length * size;
    Status status;
    if (length == task.rows) {
      figures->crc = crc32c(figures->crc, codes_.data(), count * length * size);
      figures->crc_length += count * length * size;
      status = write(k, offset, codes_.data(), count * length * size);
    } else {
      for (std::uint64_t c = 0; c < count && status.ok(); ++c) {
        status = write(k, offset + c * length * size, codes_.data() + c * task.rows * size, task.rows * size);
      }
    }
    if (!status.ok()) return status;
  }
  return {};
}

Status QuantWorker::write(std::size_t k, std::uint64_t offset, const std::uint8_t* data, std::uint64_t size) {
  if (run_.stop.load(std::memory_order_relaxed) || job_.cancelled()) return failure(Code::cancelled, "cancelled");
  Status status = first_poisoned(job_.files);
  if (!status.ok()) return status;
  const auto start = Clock::now();
  status = job_.outputs[k]->write(offset, data, static_cast<std::size_t>(size));
  write_seconds_ += seconds_since(start);
  bytes_written_ += size;
  if (!status.ok()) status.output = static_cast<int>(k);
  return status;
}

void QuantWorker::report(QuantResult* result) const {
  result->bytes_read += bytes_read_;
  result->bytes_written += bytes_written_;
  result->read_seconds += read_seconds_;
  result->compute_seconds += compute_seconds_;
  result->write_seconds += write_seconds_;
  for (const auto& [where, count] : nonfinite_) {
    Nonfinite& sum = result->nonfinite[where];
    sum.add(count);
  }
}

}  // namespace ckpt
