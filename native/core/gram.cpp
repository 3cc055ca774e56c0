#include "gram.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "dtype.h"
#include "fault_guard.h"
#include "float_env.h"
#include "shape.h"

namespace ckpt {
namespace {

std::size_t pairs(std::size_t inputs) { return inputs * (inputs + 1) / 2; }

double add_in_halves(double* lanes) {
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] = lanes[lane] + lanes[lane + half];
  }
  return lanes[0];
}

}  // namespace

std::size_t gram_width(std::size_t inputs) { return pairs(inputs) + 3 * inputs; }

void number_spans(Job* job) {
  job->first_span.assign(1, 0);
  for (const std::uint64_t count : job->count) {
    job->first_span.push_back(job->first_span.back() + static_cast<std::size_t>((count + kSpan - 1) / kSpan));
  }
}

Status GramRunner::run(const Job& job, const ChunkPlan& plan, const Chunk& chunk, const std::uint8_t* const* loaded,
                       const std::atomic<bool>& stop, double* sums, Tally* tally) {
  const auto start = std::chrono::steady_clock::now();
  block_ = mixed_block_elements(job.inputs);
  if (!rows_.reserve(sizeof(double) * block_ * job.inputs) || !lanes_.reserve(sizeof(double) * kLanes * pairs(job.inputs))) {
    return failure(Code::no_memory, "no memory for sums");
  }
  inputs_.resize(job.inputs);
  cursor_.assign(loaded, loaded + job.inputs);
  std::vector<Mapping*> mappings;
  for (const auto& file : job.files) {
    if (file->mode() == InputMode::map && file->mapping().length != 0) mappings.push_back(&file->mapping());
  }
  const DefaultFloatEnv float_env;
  const FaultGuard guard(mappings.data(), mappings.size());
  const std::size_t width = gram_width(job.inputs);
  for (std::size_t p = chunk.first_piece; p < chunk.first_piece + chunk.piece_count; ++p) {
    const Piece& piece = plan.pieces[p];
    for (std::uint64_t first = piece.first; first < piece.first + piece.count; first += kSpan) {
      const auto count = static_cast<std::size_t>(std::min(kSpan, piece.first + piece.count - first));
      for (std::size_t n = 0; n < job.inputs; ++n) {
        const std::size_t at = piece.segment * job.inputs + n;
        Input& file = *job.files[static_cast<std::size_t>(job.file[at])];
        const std::size_t size = job.in_size(piece.segment, n);
        tally->bytes_read += count * size;
        if (file.mode() == InputMode::map) {
          inputs_[n] = file.mapping().base + job.offset[at] + first * size;
        } else {
          inputs_[n] = cursor_[n];
          cursor_[n] += count * size;
        }
      }
      double* to = sums + (job.first_span[piece.segment] + first / kSpan) * width;
      sum_span(job, piece.segment, count, false, to);
      // A non-finite element makes the square of its row non-finite: the diagonal tells.
      bool finite = true;
      for (std::size_t n = 0; n < job.inputs; ++n) finite = finite && std::isfinite(to[gram_pair(job.inputs, n, n)]);
      if (!finite) sum_span(job, piece.segment, count, true, to);
    }
    if (stop.load(std::memory_order_relaxed) || job.cancelled()) return failure(Code::cancelled, "cancelled");
    // A poisoned mapping has given zeros; the fence keeps the loads of the elements from passing that of the flag.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const Status status = poisoned(job, piece.segment);
    if (!status.ok()) return status;
  }
  tally->compute_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {};
}

// With care, elements that are not finite in some input count as 0 in all, and each input's own are counted.
void GramRunner::sum_span(const Job& job, std::size_t segment, std::size_t count, bool with_care, double* sums) {
  const std::size_t inputs = job.inputs;
  auto* rows = reinterpret_cast<double*>(rows_.data());
  auto* lanes = reinterpret_cast<double*>(lanes_.data());
  double* largest = sums + pairs(inputs);
  std::fill(sums, sums + gram_width(inputs), 0.0);
  std::fill(lanes, lanes + pairs(inputs) * kLanes, 0.0);
  for (std::size_t first = 0; first < count; first += block_) {
    const std::size_t block = std::min(block_, count - first);
    const std::size_t padded = (block + kLanes - 1) / kLanes * kLanes;
    for (std::size_t n = 0; n < inputs; ++n) {
      const std::uint8_t dtype = job.dtype[segment * inputs + n];
      double* row = rows + n * block_;
      kernels_.widen[dtype](inputs_[n] + first * float_size(dtype), row, block);
      std::fill(row + block, row + padded, 0.0);
    }
    if (with_care) leave_out_nonfinite(job, block, sums);
    for (std::size_t n = inputs - 1; job.steps && n > 0; --n) {
      largest[n] = std::max(largest[n], kernels_.gram.subtract(rows + (n - 1) * block_, rows + n * block_, padded));
    }
    kernels_.gram.add_products({rows, block_, inputs, padded, lanes});
  }
  for (std::size_t pair = 0; pair < pairs(inputs); ++pair) sums[pair] = add_in_halves(lanes + pair * kLanes);
}

void GramRunner::leave_out_nonfinite(const Job& job, std::size_t count, double* sums) {
  auto* rows = reinterpret_cast<double*>(rows_.data());
  double* nan = sums + pairs(job.inputs) + job.inputs;
  double* inf = nan + job.inputs;
  for (std::size_t i = 0; i < count; ++i) {
    bool finite = true;
    for (std::size_t n = 0; n < job.inputs; ++n) {
      const double x = rows[n * block_ + i];
      if (std::isfinite(x)) continue;
      finite = false;
      ++(std::isnan(x) ? nan : inf)[n];
    }
    for (std::size_t n = 0; !finite && n < job.inputs; ++n) rows[n * block_ + i] = 0;
  }
}

}  // namespace ckpt
