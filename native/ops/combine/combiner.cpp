#include "combiner.h"

#include <algorithm>
#include <cmath>

#include "../../engine/dtype.h"
#include "../../engine/shape.h"
#include "../../engine/widen.h"
#include "../../kernels/small_float.h"

namespace ckpt {
namespace {

// Inputs and outputs of a block stay in half of a 1 MiB second-level cache: later groups of outputs and the
// careful path find them there.
constexpr std::size_t kBlockBytes = std::size_t{512} << 10;
constexpr std::size_t kMostBlock = 4096;
constexpr std::size_t kBlockGrain = 64;

double load_any(std::uint8_t dtype, const void* base, std::size_t index) {
  switch (dtype) {
    case kBF16: return load_element<kBF16>(base, index);
    case kF16: return load_element<kF16>(base, index);
    case kF32: return load_element<kF32>(base, index);
    case kF64: return load_element<kF64>(base, index);
    case kF8E5M2Code: return load_value<kFloatCodes + kE5M2>(base, index);
    case kF8E4M3Code: return load_value<kFloatCodes + kE4M3>(base, index);
    case kF8E5M2FnuzCode: return load_value<kFloatCodes + kE5M2Fnuz>(base, index);
    default: return load_value<kFloatCodes + kE4M3Fnuz>(base, index);
  }
}

template <int Kind>
Fit store_small_float(void* base, std::size_t index, double value) {
  unsigned code = 0;
  const Fit fit = float_to_small<Kind>(static_cast<float>(value), &code);
  store_code<Kind>(base, index, code);
  return fit;
}

Fit store_any(std::uint8_t dtype, void* base, std::size_t index, double value) {
  const auto fit = [](bool finite) { return finite ? Fit::in_range : Fit::not_finite; };
  switch (dtype) {
    case kBF16: return fit(store_element<kBF16>(base, index, value));
    case kF16: return fit(store_element<kF16>(base, index, value));
    case kF32: return fit(store_element<kF32>(base, index, value));
    case kF64: return fit(store_element<kF64>(base, index, value));
    case kF8E5M2Code: return store_small_float<kE5M2>(base, index, value);
    case kF8E4M3Code: return store_small_float<kE4M3>(base, index, value);
    case kF8E5M2FnuzCode: return store_small_float<kE5M2Fnuz>(base, index, value);
    default: return store_small_float<kE4M3Fnuz>(base, index, value);
  }
}

}  // namespace

Status Combiner::prepare(std::size_t segment) {
  const CombineJob& job = *job_;
  segment_ = segment;
  members_.clear();
  groups_.clear();
  sources_.resize(job.inputs);
  from_.resize(job.inputs);
  to_.resize(job.outputs.size());
  const std::size_t outputs = job.outputs.size();
  std::size_t bytes = 0;
  for (std::size_t n = 0; n < job.inputs; ++n) {
    if (!job.reads(segment, n)) continue;
    members_.push_back(n);
    bytes += job.in_size(segment, n);
  }
  for (std::size_t k = 0; k < outputs; ++k) bytes += job.out_size(segment, k);
  const std::uint8_t* dtypes = &job.dtype[segment * job.inputs];
  widened_ = !is_wide_float(dtypes[members_[0]]);
  for (const std::size_t n : members_) widened_ = widened_ || dtypes[n] != dtypes[members_[0]];
  bool narrowed = false;
  for (std::size_t k = 0; k < outputs; ++k) narrowed = narrowed || !is_wide_float(job.out_dtype[segment * outputs + k]);
  if (widened_ || narrowed) {
    block_ = mixed_block_elements(job.inputs);
    if (!scratch_.reserve(sizeof(double) * block_ * (job.inputs + kMaxGroup))) return failure(Code::no_memory, "no memory for float64 values");
  } else {
    block_ = std::clamp(kBlockBytes / bytes / kBlockGrain * kBlockGrain, kBlockGrain, kMostBlock);
  }
  const double* rows = job.rows(segment);
  std::vector<std::size_t> group;
  for (int encoding = 0; encoding < kEncodings; ++encoding) {
    for (std::size_t k = 0; k < outputs; ++k) {
      if (encoding_of(job.out_dtype[segment * outputs + k]) != encoding) continue;
      group.push_back(k);
      if (group.size() == kMaxGroup) add_group(rows, group), group.clear();
    }
    if (!group.empty()) add_group(rows, group), group.clear();
  }
  return {};
}

void Combiner::add_group(const double* rows, const std::vector<std::size_t>& outputs) {
  Group group;
  group.outputs = outputs;
  for (const std::size_t n : members_) {
    const bool takes_part = std::any_of(outputs.begin(), outputs.end(), [&](std::size_t k) { return rows[k * job_->inputs + n] != 0; });
    if (takes_part) group.members.push_back(n);
  }
  const std::uint8_t in = widened_ ? std::uint8_t{kF64} : job_->dtype[segment_ * job_->inputs + members_[0]];
  bool exact = in != kF64;
  for (const std::size_t k : outputs) {
    for (const std::size_t n : group.members) {
      const double weight = rows[k * job_->inputs + n];
      group.weights.push_back(weight);
      exact = exact && product_is_exact(weight, precision_of(in));
    }
  }
  int out = encoding_of(job_->out_dtype[segment_ * job_->outputs.size() + outputs[0]]);
  if (out >= kFloatCodes) {
    group.small = out - kFloatCodes;
    out = kF64;
  }
  group.kernel = (exact ? kernels_.combine_exact : kernels_.combine)[in][out][outputs.size() - 1];
  groups_.push_back(std::move(group));
}

void Combiner::run(std::uint64_t first, std::size_t count, const std::uint8_t* const* inputs, std::uint8_t* const* outputs) {
  for (const std::size_t n : members_) from_[n] = inputs[n];
  std::copy(outputs, outputs + to_.size(), to_.begin());
  while (count != 0) {
    const std::size_t block = std::min(count, block_);
    for (const std::size_t n : members_) {
      sources_[n] = from_[n];
      if (!widened_) continue;
      double* widened = reinterpret_cast<double*>(scratch_.data()) + n * block_;
      widen(kernels_, job_->dtype[segment_ * job_->inputs + n], from_[n], widened, block);
      sources_[n] = widened;
    }
    if (run_groups(block, sources_.data(), to_.data())) run_with_care(first, block, from_.data(), to_.data());
    for (const std::size_t n : members_) from_[n] += block * job_->in_size(segment_, n);
    for (std::size_t k = 0; k < to_.size(); ++k) to_[k] += block * job_->out_size(segment_, k);
    first += block;
    count -= block;
  }
}

bool Combiner::run_groups(std::size_t count, const void* const* inputs, std::uint8_t* const* outputs) {
  bool nonfinite = false;
  for (const Group& group : groups_) {
    const void* from[64];
    void* to[kMaxGroup];
    std::vector<const void*> many;
    const void** sources = from;
    if (group.members.size() > sizeof from / sizeof from[0]) {
      many.resize(group.members.size());
      sources = many.data();
    }
    for (std::size_t i = 0; i < group.members.size(); ++i) sources[i] = inputs[group.members[i]];
    double* sums = reinterpret_cast<double*>(scratch_.data()) + job_->inputs * block_;
    for (std::size_t i = 0; i < group.outputs.size(); ++i) {
      to[i] = group.small < 0 ? static_cast<void*>(outputs[group.outputs[i]]) : sums + i * block_;
    }
    const Block block{sources, group.weights.data(), to, group.members.size(), count};
    nonfinite = group.kernel(block) || nonfinite;
    for (std::size_t i = 0; i < group.outputs.size() && group.small >= 0; ++i) {
      constexpr double kOne = 1;  // the scale of the row
      const auto encode = kernels_.quant.encode[group.small];
      nonfinite = encode({1, count, count}, sums + i * block_, &kOne, outputs[group.outputs[i]], count, nullptr) || nonfinite;
    }
  }
  return nonfinite;
}

// A non-finite member with a weight makes every sum it enters non-finite, and an overflow on narrowing shows
// in the output; so a block that the kernel calls finite holds neither, and what is counted here does not
// depend on how blocks or tiles were cut.
void Combiner::run_with_care(std::uint64_t first, std::size_t count, const std::uint8_t* const* inputs, std::uint8_t* const* outputs) const {
  const CombineJob& job = *job_;
  const std::uint8_t* in_dtypes = &job.dtype[segment_ * job.inputs];
  const std::uint8_t* out_dtypes = &job.out_dtype[segment_ * job.outputs.size()];
  const double* rows = job.rows(segment_);
  const std::uint64_t* ends = job.cell_end.data() + job.cell[segment_];
  const std::uint64_t* past = job.cell_end.data() + job.cell[segment_ + 1];
  std::vector<double> x(job.inputs);
  const auto note = [this](std::int32_t cell, std::int32_t member, bool nan) {
    Nonfinite& entry = (*counts_)[{cell, member}];
    ++(nan ? entry.nan : entry.inf);
  };
  for (std::size_t i = 0; i < count; ++i) {
    const auto cell = static_cast<std::int32_t>(std::upper_bound(ends, past, first + i) - job.cell_end.data());
    for (const std::size_t n : members_) {
      x[n] = load_any(in_dtypes[n], inputs[n], i);
      if (!std::isfinite(x[n])) note(cell, static_cast<std::int32_t>(n), std::isnan(x[n]));
    }
    for (std::size_t k = 0; k < job.outputs.size(); ++k) {
      double sum = -0.0;
      bool finite_members = true;
      for (const std::size_t n : members_) {
        const double weight = rows[k * job.inputs + n];
        if (weight == 0) continue;
        finite_members = finite_members && std::isfinite(x[n]);
        sum = sum + weight * x[n];
      }
      const Fit fit = store_any(out_dtypes[k], outputs[k], i, sum);
      const std::int32_t output = -1 - static_cast<std::int32_t>(k);
      if (fit == Fit::not_finite && finite_members) note(cell, output, std::isnan(sum));
      if (fit == Fit::saturated) ++(*counts_)[{cell, output}].saturated;
    }
  }
}

}  // namespace ckpt
