#include "gram_runner.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "../../engine/dtype.h"
#include "../../engine/float_env.h"
#include "../../engine/shape.h"
#include "../../engine/widen.h"
#include "../../io/fault_guard.h"

namespace ckpt {
namespace {

// How far ahead of each input a cache line is asked for, as in the kernel of combine.
constexpr std::size_t kPrefetchBytes = 2048;
constexpr std::size_t kCacheLine = 64;
// Larger blocks push the rows of ten inputs out of the first-level cache (15 % slower), smaller ones load and
// store the lanes too often.
constexpr std::size_t kMostBlock = 256;

std::size_t pairs(std::size_t inputs) { return inputs * (inputs + 1) / 2; }

double add_in_halves(double* lanes) {
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] = lanes[lane] + lanes[lane + half];
  }
  return lanes[0];
}

}  // namespace

std::size_t gram_width(std::size_t inputs) { return pairs(inputs) + 4 * inputs; }

Status GramRunner::run(const GramJob& job, const ChunkWork& work, InputFeed& feed, const std::vector<std::size_t>& first_span, double* sums,
                       Tally* tally) {
  const auto start = std::chrono::steady_clock::now();
  block_ = std::min(kMostBlock, mixed_block_elements(job.inputs));
  if (!rows_.reserve(sizeof(double) * block_ * job.inputs) || !lanes_.reserve(sizeof(double) * kLanes * (pairs(job.inputs) + 2 * job.inputs))) {
    return failure(Code::no_memory, "no memory for sums");
  }
  feed.begin(job, work);
  list_mappings(job, &mappings_);
  const DefaultFloatEnv float_env;
  const FaultGuard guard(mappings_.data(), mappings_.size());
  const std::size_t width = gram_width(job.inputs);
  const Chunk& chunk = work.chunk();
  for (std::size_t p = chunk.first_piece; p < chunk.first_piece + chunk.piece_count; ++p) {
    const Piece& piece = work.plan.pieces[p];
    Status status = feed.turn(piece, tally);
    if (!status.ok()) return status;
    for (std::uint64_t first = piece.first; first < piece.first + piece.count; first += kSpan) {
      const auto count = static_cast<std::size_t>(std::min(kSpan, piece.first + piece.count - first));
      double* to = sums + (first_span[piece.segment] + first / kSpan) * width;
      sum_span(job, piece.segment, first, count, feed, false, to);
      // A non-finite element makes the square of its row non-finite: the diagonal tells.
      bool finite = true;
      for (std::size_t n = 0; n < job.inputs; ++n) finite = finite && std::isfinite(to[gram_pair(job.inputs, n, n)]);
      if (!finite) sum_span(job, piece.segment, first, count, feed, true, to);
    }
    if (work.stop.load(std::memory_order_relaxed) || job.cancelled()) return failure(Code::cancelled, "cancelled");
    // A poisoned mapping has given zeros.
    status = poisoned(job, piece.segment);
    if (!status.ok()) return status;
  }
  tally->compute_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {};
}

// With care, elements that are not finite in some input count as 0 in all, and each input's own are counted.
void GramRunner::sum_span(const GramJob& job, std::size_t segment, std::uint64_t first, std::size_t count, InputFeed& feed, bool with_care, double* sums) {
  const std::size_t inputs = job.inputs;
  auto* lanes = reinterpret_cast<double*>(lanes_.data());
  const double* largest = lanes + (pairs(inputs) + inputs) * kLanes;
  std::fill(sums, sums + gram_width(inputs), 0.0);
  std::fill(lanes, lanes + (pairs(inputs) + 2 * inputs) * kLanes, 0.0);
  for (std::size_t done = 0; done < count;) {
    std::size_t some = count - done;
    const std::uint8_t* const* from = feed.take(first + done, kLanes, &some);
    for (std::size_t at = 0; at < some; at += block_) {
      add_block(job, &job.dtype[segment * inputs], from, at, std::min(block_, some - at), with_care, sums);
    }
    done += some;
  }
  for (std::size_t sum = 0; sum < pairs(inputs) + inputs; ++sum) sums[sum] = add_in_halves(lanes + sum * kLanes);
  for (std::size_t n = 0; n < inputs; ++n) {
    // The root of a rounded square is the number itself (unless the square is beyond float64's range, of F64
    // inputs only).
    sums[pairs(inputs) + inputs + n] = std::sqrt(*std::max_element(largest + n * kLanes, largest + (n + 1) * kLanes));
  }
}

// Adds elements [at, at + block) of `from` to the lanes. Only the last block of a span is not of whole lanes.
void GramRunner::add_block(const GramJob& job, const std::uint8_t* dtypes, const std::uint8_t* const* from, std::size_t at, std::size_t block, bool with_care,
                           double* sums) {
  const std::size_t inputs = job.inputs;
  auto* rows = reinterpret_cast<double*>(rows_.data());
  auto* lanes = reinterpret_cast<double*>(lanes_.data());
  double* steps = lanes + pairs(inputs) * kLanes;
  double* largest = steps + inputs * kLanes;
  const bool exact = std::find(dtypes, dtypes + inputs, std::uint8_t{kF64}) == dtypes + inputs;
  const auto add_products = exact ? kernels_.gram.add_exact_products : kernels_.gram.add_products;
  const std::size_t padded = (block + kLanes - 1) / kLanes * kLanes;
  for (std::size_t n = 0; n < inputs; ++n) {
    const std::uint8_t* elements = from[n] + at * float_size(dtypes[n]);
    double* row = rows + n * block_;
    for (std::size_t line = 0; line < block * float_size(dtypes[n]); line += kCacheLine) __builtin_prefetch(elements + line + kPrefetchBytes);
    widen(kernels_, dtypes[n], elements, row, block);
    std::fill(row + block, row + padded, 0.0);
  }
  if (with_care) leave_out_nonfinite(job, block, sums);
  add_products({rows, block_, inputs, padded, lanes});
  if (job.steps) kernels_.gram.add_steps({rows, block_, inputs, padded, steps}, largest);
}

void GramRunner::leave_out_nonfinite(const GramJob& job, std::size_t count, double* sums) {
  auto* rows = reinterpret_cast<double*>(rows_.data());
  double* nan = sums + pairs(job.inputs) + 2 * job.inputs;
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
