// The outputs of a panel: scales, codes, floats, and how far the codes are from what was merged.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "../../engine/dtype.h"
#include "../../kernels/small_float.h"
#include "quantiser.h"

namespace ckpt {
namespace {

template <int Kind>
std::uint64_t encode_run(const double* values, std::size_t count, double scale, std::uint8_t* to, std::size_t column) {
  std::uint64_t saturated = 0;
  for (std::size_t i = 0; i < count; ++i) {
    unsigned code = 0;
    const float quotient = static_cast<float>(values[i] / scale);
    if (Kind != kE2M1 || std::isfinite(quotient)) {
      if (float_to_small<Kind>(quotient, &code) != Fit::in_range && std::isfinite(values[i])) ++saturated;
    } else if (std::isinf(quotient) && std::isfinite(values[i])) {
      code = std::signbit(quotient) ? 0xfu : 0x7u;
      ++saturated;
    }
    store_code<Kind>(to, column + i, code);
  }
  return saturated;
}

// What the kernel leaves unspecified, and how many finite values were out of range.
std::uint64_t encode_with_care(int kind, const double* values, std::size_t count, double scale, std::uint8_t* to, std::size_t column) {
  switch (kind) {
    case kE5M2: return encode_run<kE5M2>(values, count, scale, to, column);
    case kE4M3: return encode_run<kE4M3>(values, count, scale, to, column);
    case kE5M2Fnuz: return encode_run<kE5M2Fnuz>(values, count, scale, to, column);
    case kE4M3Fnuz: return encode_run<kE4M3Fnuz>(values, count, scale, to, column);
    default: return encode_run<kE2M1>(values, count, scale, to, column);
  }
}

bool store_any(std::uint8_t dtype, void* base, std::size_t index, double value) {
  switch (dtype) {
    case kBF16: return store_element<kBF16>(base, index, value);
    case kF16: return store_element<kF16>(base, index, value);
    case kF32: return store_element<kF32>(base, index, value);
    default: return store_element<kF64>(base, index, value);
  }
}

template <int Encoding>
void count_row(const std::uint8_t* row, std::size_t from, std::size_t to, double scale, Nonfinite* count) {
  for (std::size_t i = from; i < to; ++i) {
    const double value = load_value<Encoding>(row, i) * scale;
    if (std::isnan(value)) ++count->nan;
    else if (std::isinf(value)) ++count->inf;
  }
}

constexpr void (*kCountRow[kEncodings])(const std::uint8_t*, std::size_t, std::size_t, double, Nonfinite*) = {
    count_row<0>, count_row<1>, count_row<2>, count_row<3>, count_row<4>, count_row<5>, count_row<6>, count_row<7>, count_row<8>};

}  // namespace

Scale Quantiser::copied_scale(std::uint64_t block) const {
  const std::uint8_t dtype = job_->scale_dtype[task_.strip * job_->inputs + members_[0].n];
  const std::uint32_t bits = load_scale_bits(dtype, sources_[members_[0].n].scales, block);
  return {scale_value(dtype, bits), bits};
}

// The E8M0 byte of a block of zeros: the newest member's, else that of 1.
std::uint8_t Quantiser::zero_scale(std::uint64_t block) const {
  constexpr std::uint8_t kOne = 127;
  const std::int32_t newest = job_->newest[at_];
  if (newest < 0 || sources_[newest].scales == nullptr) return kOne;
  const std::uint8_t dtype = job_->scale_dtype[task_.strip * job_->inputs + static_cast<std::size_t>(newest)];
  const std::uint32_t bits = load_scale_bits(dtype, sources_[newest].scales, block);
  return scale_bytes(dtype) == 1 && bits != 255 ? static_cast<std::uint8_t>(bits) : kOne;
}

// Fills out_scales_ with those of the piece's blocks, and stores them where they are wanted.
void Quantiser::find_scales(const Piece& whole, bool copied, bool nonfinite, std::uint8_t* scales) {
  const ScaleRule rule{encoding_of(job_->out_encoding[at_]), job_->out_scale_dtype[at_], job_->power_of_two[at_] != 0};
  const std::uint64_t first = whole.block_row * job_->blocks_of_row(task_.strip) + whole.col / job_->block_cols[task_.strip];
  const std::size_t size = scale_bytes(rule.dtype);
  out_scales_.resize(peaks_.size());
  for (std::size_t b = 0; b < out_scales_.size(); ++b) {
    Scale scale = copied ? copied_scale(first + b) : make_scale(rule, own_amax_ ? peaks_[b] : job_->amax[at_], zero_scale(first + b));
    if (nonfinite && !copied && rule.encoding == kFloatCodes + kE2M1) {  // FP4 has no NaN
      const auto* values = reinterpret_cast<const double*>(values_.data()) + b * whole.block;
      if (!std::all_of(values, values + whole.block, [](double value) { return std::isfinite(value); })) scale = nan_scale();
    }
    out_scales_[b] = scale.value;
    if (scales != nullptr) std::memcpy(scales + (first + b) * size, &scale.bits, size);
  }
}

void Quantiser::encode(const Piece& piece, std::uint8_t* codes, bool copied, QuantFigures* figures) {
  const std::uint8_t code = job_->out_encoding[at_];
  const std::uint64_t cols = job_->cols[task_.strip];
  const std::uint64_t stride = encoded_bytes(code, cols);
  const std::uint64_t start = encoded_bytes(code, piece.row * cols + piece.col);
  if (copied) {
    const std::uint8_t* from = sources_[members_[0].n].codes;
    for (std::uint64_t r = 0; r < piece.rows; ++r) {
      std::memcpy(codes + start + r * stride, from + start + r * stride, encoded_bytes(code, piece.cols));
    }
    return;
  }
  const auto* values = reinterpret_cast<const double*>(values_.data());
  const int kind = encoding_of(code) - kFloatCodes;
  double lanes[kLanes];
  std::copy_n(error_lanes_, kLanes, lanes);
  if (!kernels_.quant.encode[kind](panel(piece), values, out_scales_.data(), codes + start, stride, lanes)) {
    std::copy_n(lanes, kLanes, error_lanes_);
    return;
  }
  for (std::uint64_t r = 0; r < piece.rows; ++r) {
    for (std::uint64_t from = 0, b = 0; from < piece.cols; from += piece.block, ++b) {
      const std::uint64_t count = std::min(piece.block, piece.cols - from);
      std::uint8_t* row = codes + start + r * stride;
      figures->saturated += encode_with_care(kind, values + r * piece.cols + from, count, out_scales_[b], row, from);
    }
  }
  kernels_.quant.distance[encoding_of(code)](panel(piece), {codes + start, stride, out_scales_.data(), 1}, values, error_lanes_);
}

void Quantiser::measure_change(const Piece& piece) {
  if (job_->newest[at_] < 0 || change_measured_) return;
  const auto newest = static_cast<std::size_t>(job_->newest[at_]);
  const auto* values = reinterpret_cast<const double*>(values_.data());
  const int encoding = encoding_of(job_->encoding[task_.strip * job_->inputs + newest]);
  kernels_.quant.distance[encoding](panel(piece), codes_of(newest, piece, 1), values, change_lanes_);
}

void Quantiser::dequantise(const Piece& whole, std::uint8_t* codes, QuantFigures* figures) {
  const std::size_t size = float_size(job_->out_encoding[at_]);
  for_each_part(whole, [&](const Piece& piece) {
    merge(piece, false);
    for (const double peak : peaks_) figures->amax = std::max(figures->amax, peak);
    if (codes == nullptr) return;
    const auto* values = reinterpret_cast<const double*>(values_.data());
    for (std::uint64_t r = 0; r < piece.rows; ++r) {
      const std::uint64_t at = (piece.row + r) * job_->cols[task_.strip] + piece.col;
      store_wide(values + r * piece.cols, piece.cols, codes + at * size);
    }
  });
}

void Quantiser::store_wide(const double* values, std::size_t count, std::uint8_t* to) const {
  const std::uint8_t dtype = job_->out_encoding[at_];
  const void* from = values;
  void* out = to;
  const double one = 1;
  if (!kernels_.combine[kF64][dtype][0]({&from, &one, &out, 1, count})) return;
  for (std::size_t i = 0; i < count; ++i) store_any(dtype, to, i, values[i]);
}

void Quantiser::transpose(std::size_t k, std::uint64_t first, std::uint64_t cols, std::uint8_t* to, QuantFigures* figures) {
  const QuantJob& job = *job_;
  const std::size_t s = task_.strip;
  choose_members(k);
  figures->identical = false;
  merging_ = &members_;
  const std::size_t size = float_size(job.out_encoding[at_]);
  for (std::uint64_t row = 0; row < task_.rows;) {
    const std::uint64_t block_row = row / job.block_rows[s];
    const std::uint64_t rows = std::min({kPanel / cols, (block_row + 1) * job.block_rows[s] - row, task_.rows - row});
    for (std::uint64_t col = first; col < first + cols;) {
      // Whole blocks, or up to the end of one that the columns begin or end in.
      const std::uint64_t in_block = job.block_cols[s] - col % job.block_cols[s];
      const std::uint64_t left = first + cols - col;
      const bool whole = in_block == job.block_cols[s] && left > in_block;
      const std::uint64_t width = whole ? left / in_block * in_block : std::min(in_block, left);
      const Piece piece{block_row, row, rows, col, width, job.block_cols[s]};
      merge(piece, false);
      for (const double peak : peaks_) figures->amax = std::max(figures->amax, peak);
      store_wide(reinterpret_cast<const double*>(values_.data()), rows * width, turned_.data());
      for (std::uint64_t c = 0; c < width; ++c) {
        std::uint8_t* run = to + ((col - first + c) * task_.rows + row) * size;
        for (std::uint64_t r = 0; r < rows; ++r) std::memcpy(run + r * size, turned_.data() + (r * width + c) * size, size);
      }
      col += width;
    }
    row += rows;
  }
}

void Quantiser::count_nonfinite(std::vector<Nonfinite>* counts) {
  const QuantJob& job = *job_;
  const std::size_t s = task_.strip;
  for (std::size_t n = 0; n < job.inputs; ++n) {
    bool takes_part = false;
    for (std::size_t k = 0; k < job.outputs.size(); ++k) takes_part = takes_part || job.weight(s, k, n) != 0;
    if (!takes_part) continue;
    const auto count = kCountRow[encoding_of(job.encoding[s * job.inputs + n])];
    for (std::uint64_t row = 0; row < task_.rows; ++row) {
      const Piece piece{row / job.block_rows[s], row, 1, 0, job.cols[s], job.block_cols[s]};
      const Codes codes = codes_of(n, piece, 1);
      for (std::uint64_t from = 0, b = 0; from < piece.cols; from += piece.block, ++b) {
        const std::uint64_t to = std::min(piece.cols, from + piece.block);
        count(static_cast<const std::uint8_t*>(codes.codes), from, to, codes.scales[b], &(*counts)[n]);
      }
    }
  }
}

}  // namespace ckpt
