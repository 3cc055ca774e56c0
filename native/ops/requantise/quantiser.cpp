#include "quantiser.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../../engine/dtype.h"
#include "quant_scale.h"

namespace ckpt {
namespace {

// Weights that sum to 1 within this are an average.
constexpr double kSumTolerance = 1e-9;

double sum_of_lanes(const double* lane) { return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7])); }

bool same_scale_dtype(std::uint8_t a, std::uint8_t b) { return a == b || (scale_bytes(a) == 1 && scale_bytes(b) == 1); }

}  // namespace

std::uint64_t Quantiser::scratch_bytes(const QuantJob& job, std::size_t strip) {
  std::uint64_t turned = 0;
  for (std::size_t k = 0; k < job.outputs.size(); ++k) {
    if (job.transpose[strip * job.outputs.size() + k] != 0) turned = kPanel * sizeof(double);
  }
  return kMostPanel * sizeof(double) + turned + job.blocks_of_row(strip) * sizeof(double) * (job.inputs + 2);
}

bool Quantiser::begin(const QuantJob& job, const QuantTask& task, const QuantSource* sources) {
  job_ = &job;
  task_ = task;
  sources_ = sources;
  nonfinite_ = false;
  scales_.resize(job.inputs);
  return values_.reserve(kMostPanel * sizeof(double)) && turned_.reserve(kPanel * sizeof(double));
}

void Quantiser::choose_members(std::size_t k) {
  const QuantJob& job = *job_;
  k_ = k;
  at_ = task_.strip * job.outputs.size() + k;
  members_.clear();
  double sum = 0;
  for (std::size_t n = 0; n < job.inputs; ++n) {
    const double weight = job.weight(task_.strip, k, n);
    if (weight == 0) continue;
    members_.push_back({n, weight});
    sum += weight;
  }
  first_.assign(1, {members_[0].n, 1.0});
  own_amax_ = std::isnan(job.amax[at_]);
  may_copy_ = std::fabs(sum - 1) <= kSumTolerance && !is_wide_float(job.out_encoding[at_]);
  exact_ = true;
  for (const Member& member : members_) {
    const std::size_t from = task_.strip * job.inputs + member.n;
    const int bits = precision_of(job.encoding[from]) + (job.scale_file[from] < 0 ? 0 : scale_precision(job.scale_dtype[from]));
    exact_ = exact_ && job.encoding[from] != kF64 && product_is_exact(member.weight, bits);
    may_copy_ = may_copy_ && job.encoding[from] == job.out_encoding[at_] && job.scale_file[from] >= 0 &&
                same_scale_dtype(job.scale_dtype[from], job.out_scale_dtype[at_]);
  }
  std::fill_n(error_lanes_, kLanes, 0.0);
  std::fill_n(change_lanes_, kLanes, 0.0);
}

Panel Quantiser::panel(const Piece& piece) const { return {piece.rows, piece.cols, piece.block}; }

// A member's codes and scales under a piece. The scales stay until the member is asked for again.
Codes Quantiser::codes_of(std::size_t n, const Piece& piece, double weight) {
  const QuantJob& job = *job_;
  const std::size_t from = task_.strip * job.inputs + n;
  const std::uint64_t cols = job.cols[task_.strip];
  const std::uint64_t blocks = job.blocks_of_row(task_.strip);
  const std::uint64_t first = piece.block_row * blocks + piece.col / job.block_cols[task_.strip];
  std::vector<double>& scales = scales_[n];
  scales.resize((piece.cols - 1) / piece.block + 1);
  for (std::size_t b = 0; b < scales.size(); ++b) {
    const std::uint8_t dtype = job.scale_dtype[from];
    scales[b] = sources_[n].scales == nullptr ? 1.0 : scale_value(dtype, load_scale_bits(dtype, sources_[n].scales, first + b));
  }
  const std::uint8_t code = job.encoding[from];
  return {sources_[n].codes + encoded_bytes(code, piece.row * cols + piece.col), encoded_bytes(code, cols), scales.data(), weight};
}

// Fills values_ and peaks_ with the merged piece. True where some value is not finite; the peaks are then
// those of the finite ones. `last`: the piece is not merged again, so its change is measured while the newest
// member is at hand, where it is the last of the sum.
bool Quantiser::merge(const Piece& piece, bool last) {
  auto* values = reinterpret_cast<double*>(values_.data());
  peaks_.resize((piece.cols - 1) / piece.block + 1);
  codes_.clear();
  for (const Member& member : *merging_) codes_.push_back(codes_of(member.n, piece, member.weight));
  bool nonfinite = false;
  for (std::size_t i = 0; i < codes_.size();) {
    const auto code_of = [&](std::size_t member) { return job_->encoding[task_.strip * job_->inputs + (*merging_)[member].n]; };
    std::size_t end = i + 1;
    while (end < codes_.size() && end - i < kMostSummed && code_of(end) == code_of(i)) ++end;
    change_measured_ = last && end == codes_.size() && static_cast<std::int32_t>(merging_->back().n) == job_->newest[at_];
    const auto sum = (exact_ ? kernels_.quant.accumulate_exact : kernels_.quant.accumulate)[encoding_of(code_of(i))];
    nonfinite = sum(panel(piece), &codes_[i], end - i, i == 0, values, peaks_.data(), change_measured_ ? change_lanes_ : nullptr);
    i = end;
  }
  if (nonfinite) finite_peaks(piece);
  nonfinite_ = nonfinite_ || nonfinite;
  return nonfinite;
}

void Quantiser::finite_peaks(const Piece& piece) {
  const auto* values = reinterpret_cast<const double*>(values_.data());
  std::fill(peaks_.begin(), peaks_.end(), 0.0);
  for (std::uint64_t i = 0; i < piece.rows * piece.cols; ++i) {
    double& peak = peaks_[i % piece.cols / piece.block];
    if (std::isfinite(values[i])) peak = std::max(peak, std::fabs(values[i]));
  }
}

// Whether all members have the same codes and the same scale in a whole block.
bool Quantiser::same_block(const Piece& piece) const {
  const QuantJob& job = *job_;
  const std::size_t s = task_.strip;
  const std::uint64_t blocks = job.blocks_of_row(s);
  const std::uint8_t code = job.out_encoding[at_];
  const std::uint64_t stride = encoded_bytes(code, job.cols[s]);
  const std::uint64_t start = encoded_bytes(code, piece.row * job.cols[s] + piece.col);
  const QuantSource& first = sources_[members_[0].n];
  const std::uint64_t block = piece.block_row * blocks + piece.col / job.block_cols[s];
  const auto scale_of = [&](std::size_t n) { return load_scale_bits(job.scale_dtype[s * job.inputs + n], sources_[n].scales, block); };
  for (std::size_t m = 1; m < members_.size(); ++m) {
    const QuantSource& other = sources_[members_[m].n];
    if (scale_of(members_[m].n) != scale_of(members_[0].n)) return false;
    for (std::uint64_t r = 0; r < piece.rows; ++r) {
      const std::uint64_t offset = start + r * stride;
      if (std::memcmp(first.codes + offset, other.codes + offset, encoded_bytes(code, piece.cols)) != 0) return false;
    }
  }
  return true;
}

// The end of the piece that begins at a column: as many whole blocks as make a panel, at least one.
std::uint64_t Quantiser::piece_end(std::uint64_t col, std::uint64_t rows) const {
  const std::uint64_t block = job_->block_cols[task_.strip];
  const std::uint64_t blocks = std::max<std::uint64_t>(1, kPanel / rows / block);
  return std::min(job_->cols[task_.strip], col + blocks * block);
}

void Quantiser::quantise(std::size_t k, std::uint8_t* codes, std::uint8_t* scales, QuantFigures* figures) {
  const QuantJob& job = *job_;
  const std::size_t s = task_.strip;
  choose_members(k);
  const bool wide = is_wide_float(job.out_encoding[at_]);
  const bool copies = may_copy_ && own_amax_ && codes != nullptr;
  figures->identical = may_copy_;
  for (std::uint64_t row = 0, block_row = 0; row < task_.rows && !job.cancelled(); row += job.block_rows[s], ++block_row) {
    const std::uint64_t rows = std::min(job.block_rows[s], task_.rows - row);
    for (std::uint64_t col = 0; col < job.cols[s];) {
      const std::uint64_t limit = piece_end(col, rows);
      std::uint64_t end = may_copy_ ? std::min(job.cols[s], col + job.block_cols[s]) : limit;
      const auto piece_of = [&](std::uint64_t from, std::uint64_t to) { return Piece{block_row, row, rows, from, to - from, job.block_cols[s]}; };
      // Blocks that are copied and blocks that are not make pieces of their own.
      const bool same = may_copy_ && same_block(piece_of(col, end));
      while (end < limit) {
        const std::uint64_t next = std::min(job.cols[s], end + job.block_cols[s]);
        if (same_block(piece_of(end, next)) != same) break;
        end = next;
      }
      figures->identical = figures->identical && same;
      merging_ = same && copies ? &first_ : &members_;
      if (wide) {
        dequantise(piece_of(col, end), codes, figures);
      } else {
        quantise_blocks(piece_of(col, end), codes, scales, figures);
      }
      col = end;
    }
  }
  figures->error = sum_of_lanes(error_lanes_);
  figures->change = sum_of_lanes(change_lanes_);
}

void Quantiser::quantise_blocks(const Piece& whole, std::uint8_t* codes, std::uint8_t* scales, QuantFigures* figures) {
  const bool copied = merging_ == &first_;
  const bool one_panel = whole.rows * whole.cols <= kMostPanel;
  const bool first_pass = one_panel || own_amax_ || codes == nullptr;
  bool nonfinite = false;
  double peak = 0;
  if (first_pass) {
    for_each_part(whole, [&](const Piece& part) {
      nonfinite = merge(part, one_panel && codes != nullptr) || nonfinite;
      for (const double each : peaks_) peak = std::max(peak, each);
    });
    figures->amax = std::max(figures->amax, peak);
  }
  if (!one_panel) peaks_.assign(1, peak);  // such a piece is one block
  if (codes == nullptr && scales == nullptr) return;
  find_scales(whole, copied, nonfinite, scales);
  if (codes == nullptr) return;
  for_each_part(whole, [&](const Piece& part) {
    if (!one_panel) merge(part, true);
    if (!first_pass) figures->amax = std::max(figures->amax, peaks_[0]);
    encode(part, codes, copied, figures);
    measure_change(part);
  });
}

}  // namespace ckpt
