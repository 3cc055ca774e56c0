// Kernels of quantised storage: codes under scales to float64 sums, sums to codes, and the distance between both. Part of combine_kernel.cpp, which says
// what holds for all kernels; what each function does stands in kernel_table.h.
#pragma once

#include "gram_kernel.h"
#include "small_float.h"
#if !defined(CKPT_NO_VECTORS)
#if defined(CKPT_KERNEL_AVX512)
#include "quant_ops_avx512.h"
#elif defined(CKPT_KERNEL_AVX2)
#include "quant_ops_avx2.h"
#else
#include "quant_ops_neon.h"
#endif
#endif

namespace ckpt {
namespace {

// Where element `column` of a row lies in an encoding. FP4 starts at even columns.
template <int Encoding>
inline const unsigned char* code_at(const void* row, std::size_t column) {
  constexpr std::size_t kBytes = Encoding == kF64 ? 8 : Encoding == kF32 ? 4 : Encoding < kFloatCodes ? 2 : 1;
  const auto* bytes = static_cast<const unsigned char*>(row);
  return bytes + (Encoding == kFloatCodes + kE2M1 ? column / 2 : column * kBytes);
}

inline double magnitude_of(double x) { return bits_as<double>(bits_as<std::uint64_t>(x) & 0x7fffffffffffffffu); }

#if !defined(CKPT_NO_VECTORS)

// kStep elements, short of a power of two that kUnit gives back.
template <int Encoding>
inline Wide load_codes(const void* from) {
  if constexpr (Encoding < kFloatCodes) {
    return load_wide<Encoding, kF64>(from);
  } else {
    return widen(load_small<Encoding - kFloatCodes>(from));
  }
}

// E4M3 is put into a half with its own exponent, whose bias is 15 there.
template <int Encoding>
constexpr double kUnit = Encoding == kFloatCodes + kE4M3 ? 256 : Encoding == kFloatCodes + kE4M3Fnuz ? 128 : 1;

#endif

template <int Encoding>
bool accumulate(const Panel& panel, const Codes* members, std::size_t count, bool first, double* values, double* peaks) {
  bool finite = true;
  for (std::size_t from = 0, b = 0; from < panel.cols; from += panel.block, ++b) {
    const std::size_t to = panel.cols - from < panel.block ? panel.cols : from + panel.block;
    double peak = 0;
#if !defined(CKPT_NO_VECTORS)
    Double largest = broadcast(0);
    Double nan = broadcast(0);
#endif
    for (std::size_t r = 0; r < panel.rows; ++r) {
      double* row = values + r * panel.cols;
      std::size_t i = from;
#if !defined(CKPT_NO_VECTORS)
      for (; i + kStep <= to; i += kStep) {
        Wide sum;
        for (int part = 0; part < kParts; ++part) sum.part[part] = broadcast(kStart);
        if (!first) sum = load_double(row + i);
        for (std::size_t n = 0; n < count; ++n) {
          const unsigned char* at = code_at<Encoding>(static_cast<const unsigned char*>(members[n].codes) + r * members[n].stride, i);
          __builtin_prefetch(at + (to - from));
          const Wide x = load_codes<Encoding>(at);
          const Double scale = broadcast(members[n].scales[b] * kUnit<Encoding>);
          const Double weight = broadcast(members[n].weight);
          for (int part = 0; part < kParts; ++part) sum.part[part] = add(sum.part[part], mul(weight, mul(x.part[part], scale)));
        }
        for (int part = 0; part < kParts; ++part) {
          largest = larger_magnitude(largest, sum.part[part]);
          nan = add(nan, sub(sum.part[part], sum.part[part]));  // x - x is NaN for infinity and NaN
        }
        store_double(row + i, sum);
      }
#endif
      for (; i < to; ++i) {
        double sum = first ? kStart : row[i];
        for (std::size_t n = 0; n < count; ++n) {
          const void* codes = static_cast<const unsigned char*>(members[n].codes) + r * members[n].stride;
          sum = sum + members[n].weight * (load_value<Encoding>(codes, i) * members[n].scales[b]);
        }
        row[i] = sum;
        peak = magnitude_of(sum) > peak ? magnitude_of(sum) : peak;
        finite = finite && sum - sum == 0;
      }
    }
#if !defined(CKPT_NO_VECTORS)
    const double vectors = largest_of(largest);
    if (vectors > peak) peak = vectors;
    finite = finite && !any_nan(nan);
#endif
    peaks[b] = peak;
  }
  return !finite;
}

#if !defined(CKPT_NO_VECTORS)

// Quotients by a power of two are products with its inverse, exactly: the same real number, rounded alike. (Both have to be normal.)
inline bool inverse_is_exact(double scale) {
  const std::uint64_t bits = bits_as<std::uint64_t>(scale);
  const std::uint64_t exponent = bits >> 52;
  return (bits & 0xfffffffffffffu) == 0 && exponent > 1 && exponent < 2045;
}

template <int Kind, bool Multiply>
inline void encode_steps(const double* from, std::size_t count, Double divisor, void* row, std::size_t column, Worst* worst) {
  for (std::size_t i = 0; i + kStep <= count; i += kStep) {
    Wide x = load_double(from + i);
    for (int part = 0; part < kParts; ++part) x.part[part] = Multiply ? mul(x.part[part], divisor) : div(x.part[part], divisor);
    const Single narrowed = narrow(x);
    worst->see(narrowed);
    store_small<Kind>(const_cast<unsigned char*>(code_at<kFloatCodes + Kind>(row, column + i)), narrowed);
  }
}

#endif

template <int Kind>
bool encode(const Panel& panel, const double* values, const double* scales, void* codes, std::size_t stride) {
  bool in_range = true;
#if !defined(CKPT_NO_VECTORS)
  Worst worst;
#endif
  for (std::size_t from = 0, b = 0; from < panel.cols; from += panel.block, ++b) {
    const std::size_t to = panel.cols - from < panel.block ? panel.cols : from + panel.block;
    for (std::size_t r = 0; r < panel.rows; ++r) {
      const double* row = values + r * panel.cols;
      unsigned char* out = static_cast<unsigned char*>(codes) + r * stride;
      std::size_t i = from;
#if !defined(CKPT_NO_VECTORS)
      if (inverse_is_exact(scales[b])) {
        encode_steps<Kind, true>(row + from, to - from, broadcast(1 / scales[b]), out, from, &worst);
      } else {
        encode_steps<Kind, false>(row + from, to - from, broadcast(scales[b]), out, from, &worst);
      }
      i += (to - from) / kStep * kStep;
#endif
      for (; i < to; ++i) {
        unsigned code = 0;
        const float quotient = static_cast<float>(row[i] / scales[b]);
        const bool number = quotient - quotient == 0;
        in_range = number && float_to_small<Kind>(quotient, &code) == Fit::in_range && in_range;
        store_code<Kind>(out, i, code);
      }
    }
  }
#if !defined(CKPT_NO_VECTORS)
  in_range = in_range && !worst.reaches(SmallFormat<Kind>::kOverflow);
#endif
  return !in_range;
}

template <int Encoding>
void distance(const Panel& panel, const Codes& member, const double* values, double* lanes) {
#if !defined(CKPT_NO_VECTORS)
  // Vectors that together are the lanes; part p of a step belongs to the p-th of them, round and round.
  constexpr int kRound = static_cast<int>(kVectors);
  static_assert(kParts % kRound == 0 && kStep == kParts * kWidth, "a step is whole rounds");
  Wide sums;
  for (int d = 0; d < kRound; ++d) sums.part[d] = load_vector(lanes + static_cast<std::size_t>(d) * kWidth);
#endif
  for (std::size_t from = 0, b = 0; from < panel.cols; from += panel.block, ++b) {
    const std::size_t to = panel.cols - from < panel.block ? panel.cols : from + panel.block;
    for (std::size_t r = 0; r < panel.rows; ++r) {
      const double* row = values + r * panel.cols;
      const unsigned char* codes = static_cast<const unsigned char*>(member.codes) + r * member.stride;
      std::size_t i = from;
#if !defined(CKPT_NO_VECTORS)
      const Double scale = broadcast(member.scales[b] * kUnit<Encoding>);
      for (; i + kStep <= to; i += kStep) {
        const Wide x = load_codes<Encoding>(code_at<Encoding>(codes, i));
        const Wide value = load_double(row + i);
        for (int part = 0; part < kParts; ++part) {
          const Double difference = sub(mul(x.part[part], scale), value.part[part]);
          sums.part[part % kRound] = add(sums.part[part % kRound], mul(difference, difference));
        }
      }
      if (i == to) continue;
      for (int d = 0; d < kRound; ++d) store_vector(lanes + static_cast<std::size_t>(d) * kWidth, sums.part[d]);
#endif
      for (; i < to; ++i) {
        const double difference = load_value<Encoding>(codes, i) * member.scales[b] - row[i];
        double& lane = lanes[(i - from) % kLanes];
        lane = lane + difference * difference;
      }
#if !defined(CKPT_NO_VECTORS)
      for (int d = 0; d < kRound; ++d) sums.part[d] = load_vector(lanes + static_cast<std::size_t>(d) * kWidth);
#endif
    }
  }
#if !defined(CKPT_NO_VECTORS)
  for (int d = 0; d < kRound; ++d) store_vector(lanes + static_cast<std::size_t>(d) * kWidth, sums.part[d]);
#endif
}

#define CKPT_EACH_ENCODING(F) \
  { F<kBF16>, F<kF16>, F<kF32>, F<kF64>, F<4 + kE5M2>, F<4 + kE4M3>, F<4 + kE5M2Fnuz>, F<4 + kE4M3Fnuz>, F<4 + kE2M1> }
#define CKPT_QUANT \
  { CKPT_EACH_ENCODING(accumulate), {encode<kE5M2>, encode<kE4M3>, encode<kE5M2Fnuz>, encode<kE4M3Fnuz>, encode<kE2M1>}, CKPT_EACH_ENCODING(distance) }

}  // namespace
}  // namespace ckpt
