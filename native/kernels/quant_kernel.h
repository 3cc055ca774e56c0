// Kernels of quantised storage: codes under scales to float64 sums, sums to codes, and the distance between
// both. Part of combine_kernel.cpp, which says what holds for all kernels; what each function does stands in
// kernel_table.h.
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

#if !defined(CKPT_NO_VECTORS)

// Vectors that together are the lanes of a distance; part p of a step belongs to the p-th of them, round and
// round.
constexpr int kRound = static_cast<int>(kVectors);
static_assert(kParts % kRound == 0 && kStep == kParts * kWidth, "a step is whole rounds");

struct Lanes {
  Double part[kRound];

  void load(const double* from) {
    for (int d = 0; d < kRound; ++d) part[d] = load_vector(from + static_cast<std::size_t>(d) * kWidth);
  }
  void store(double* to) const {
    for (int d = 0; d < kRound; ++d) store_vector(to + static_cast<std::size_t>(d) * kWidth, part[d]);
  }
  // The squares of x - value.
  inline void add_squares(const Wide& x, const Wide& value) {
    for (int p = 0; p < kParts; ++p) {
      const Double difference = sub(x.part[p], value.part[p]);
      part[p % kRound] = add(part[p % kRound], mul(difference, difference));
    }
  }
};

#endif

#if !defined(CKPT_NO_VECTORS)

inline Wide scaled(const Wide& x, double scale) {
  Wide product;
  for (int part = 0; part < kParts; ++part) product.part[part] = mul(x.part[part], broadcast(scale));
  return product;
}

#endif

inline void add_square(double* lanes, std::size_t column, double x, double value) {
  const double difference = x - value;
  double& lane = lanes[column % kLanes];
  lane = lane + difference * difference;
}

template <int Encoding, bool Exact, bool Measured>
bool accumulate_panel(const Panel& panel, const Codes* members, std::size_t count, bool first, double* values, double* peaks, double* lanes) {
  bool finite = true;
  for (std::size_t from = 0, b = 0; from < panel.cols; from += panel.block, ++b) {
    const std::size_t to = panel.cols - from < panel.block ? panel.cols : from + panel.block;
    double peak = 0;
#if !defined(CKPT_NO_VECTORS)
    Peak seen;
    double factors[kMostSummed];  // in memory a vector is filled from one at no cost
    for (std::size_t n = 0; n < count; ++n) factors[n] = (Exact ? members[n].weight : 1) * (members[n].scales[b] * kUnit<Encoding>);
    const double last_scale = members[count - 1].scales[b] * kUnit<Encoding>;
#endif
    for (std::size_t r = 0; r < panel.rows; ++r) {
      double* row = values + r * panel.cols;
      std::size_t i = from;
#if !defined(CKPT_NO_VECTORS)
      Lanes sums;
      if (Measured) sums.load(lanes);
      for (; i + kStep <= to; i += kStep) {
        Wide sum;
        Wide x;
        for (int part = 0; part < kParts; ++part) sum.part[part] = broadcast(kStart);
        if (!first) sum = load_double(row + i);
        for (std::size_t n = 0; n < count; ++n) {
          const unsigned char* at = code_at<Encoding>(static_cast<const unsigned char*>(members[n].codes) + r * members[n].stride, i);
          __builtin_prefetch(at + (to - from));
          x = load_codes<Encoding>(at);
          if (Exact) {
            for (int part = 0; part < kParts; ++part) sum.part[part] = fused(x.part[part], broadcast(factors[n]), sum.part[part]);
          } else {
            x = scaled(x, factors[n]);
            for (int part = 0; part < kParts; ++part) sum.part[part] = add(sum.part[part], mul(broadcast(members[n].weight), x.part[part]));
          }
        }
        if (Measured) sums.add_squares(Exact ? scaled(x, last_scale) : x, sum);
        seen.see(sum);
        store_double(row + i, sum);
      }
      if (Measured) sums.store(lanes);
#endif
      for (; i < to; ++i) {
        double sum = first ? kStart : row[i];
        double x = 0;
        for (std::size_t n = 0; n < count; ++n) {
          const void* codes = static_cast<const unsigned char*>(members[n].codes) + r * members[n].stride;
          x = load_value<Encoding>(codes, i) * members[n].scales[b];
          sum = sum + members[n].weight * x;
        }
        if (Measured) add_square(lanes, i - from, x, sum);
        row[i] = sum;
        peak = magnitude_of(sum) > peak ? magnitude_of(sum) : peak;
        finite = finite && sum - sum == 0;
      }
    }
#if !defined(CKPT_NO_VECTORS)
    if (seen.magnitude() > peak) peak = seen.magnitude();
    finite = finite && seen.finite();
#endif
    peaks[b] = peak;
  }
  return !finite;
}

template <int Encoding, bool Exact>
bool accumulate(const Panel& panel, const Codes* members, std::size_t count, bool first, double* values, double* peaks, double* lanes) {
  return (lanes == nullptr ? accumulate_panel<Encoding, Exact, false> : accumulate_panel<Encoding, Exact, true>)(panel, members, count, first, values, peaks,
                                                                                                                lanes);
}

#if !defined(CKPT_NO_VECTORS)

// Quotients by a power of two are products with its inverse, exactly: the same real number, rounded alike.
// (Both have to be normal.)
inline bool inverse_is_exact(double scale) {
  const std::uint64_t bits = bits_as<std::uint64_t>(scale);
  const std::uint64_t exponent = bits >> 52;
  return (bits & 0xfffffffffffffu) == 0 && exponent > 1 && exponent < 2045;
}

// float32(value / scale). Dividing takes longer than all the rest, so other scales are multiplied by their
// rounded inverse first: as float32 that is the quotient or a neighbour of it, and their codes differ only
// where the middle between two codes is one of them. There, it is divided after all. (Scales are at least
// 2^-149: the inverse is finite.)
template <bool Powers>
inline Single quotients(const Wide& value, double scale) {
  const Double inverse = broadcast(1 / scale);
  Wide x;
  for (int part = 0; part < kParts; ++part) x.part[part] = mul(value.part[part], inverse);
  const Single narrowed = narrow(x);
  if (Powers || !near_code(narrowed)) return narrowed;
  for (int part = 0; part < kParts; ++part) x.part[part] = div(value.part[part], broadcast(scale));
  return narrow(x);
}

template <int Kind, bool Powers, bool Measured>
inline void encode_steps(const double* from, std::size_t count, double scale, unsigned char* row, std::size_t column, Worst* worst, double* lanes) {
  Lanes sums;
  if (Measured) sums.load(lanes);
  for (std::size_t i = 0; i + kStep <= count; i += kStep) {
    const Wide value = load_double(from + i);
    const Single narrowed = quotients<Powers>(value, scale);
    worst->see(narrowed);
    const Single stored = store_small<Kind>(row + (Kind == kE2M1 ? (column + i) / 2 : column + i), narrowed);
    if (Measured) sums.add_squares(scaled(widen(stored), scale), value);
  }
  if (Measured) sums.store(lanes);
}

#endif

template <int Kind, bool Measured>
bool encode_panel(const Panel& panel, const double* values, const double* scales, void* codes, std::size_t stride, double* lanes) {
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
      const auto steps = inverse_is_exact(scales[b]) ? encode_steps<Kind, true, Measured> : encode_steps<Kind, false, Measured>;
      steps(row + from, to - from, scales[b], out, from, &worst, lanes);
      i += (to - from) / kStep * kStep;
#endif
      for (; i < to; ++i) {
        unsigned code = 0;
        const float quotient = static_cast<float>(row[i] / scales[b]);
        const bool number = quotient - quotient == 0;
        in_range = number && float_to_small<Kind>(quotient, &code) == Fit::in_range && in_range;
        store_code<Kind>(out, i, code);
        if (Measured) add_square(lanes, i - from, small_to_double<Kind>(code) * scales[b], row[i]);
      }
    }
  }
#if !defined(CKPT_NO_VECTORS)
  in_range = in_range && !worst.reaches(SmallFormat<Kind>::kOverflow);
#endif
  return !in_range;
}

template <int Kind>
bool encode(const Panel& panel, const double* values, const double* scales, void* codes, std::size_t stride, double* lanes) {
  return (lanes == nullptr ? encode_panel<Kind, false> : encode_panel<Kind, true>)(panel, values, scales, codes, stride, lanes);
}

template <int Encoding>
void distance(const Panel& panel, const Codes& member, const double* values, double* lanes) {
  for (std::size_t from = 0, b = 0; from < panel.cols; from += panel.block, ++b) {
    const std::size_t to = panel.cols - from < panel.block ? panel.cols : from + panel.block;
    for (std::size_t r = 0; r < panel.rows; ++r) {
      const double* row = values + r * panel.cols;
      const unsigned char* codes = static_cast<const unsigned char*>(member.codes) + r * member.stride;
      std::size_t i = from;
#if !defined(CKPT_NO_VECTORS)
      Lanes sums;
      sums.load(lanes);
      const double scale = member.scales[b] * kUnit<Encoding>;
      for (; i + kStep <= to; i += kStep) sums.add_squares(scaled(load_codes<Encoding>(code_at<Encoding>(codes, i)), scale), load_double(row + i));
      sums.store(lanes);
#endif
      for (; i < to; ++i) add_square(lanes, i - from, load_value<Encoding>(codes, i) * member.scales[b], row[i]);
    }
  }
}

template <int Encoding>
constexpr QuantSum kSum = accumulate<Encoding, false>;
template <int Encoding>
constexpr QuantSum kExactSum = accumulate<Encoding, true>;

#define CKPT_NARROW(F) F<kBF16>, F<kF16>, F<kF32>
#define CKPT_SMALL(F)                                                                              \
  F<kFloatCodes + kE5M2>, F<kFloatCodes + kE4M3>, F<kFloatCodes + kE5M2Fnuz>,                      \
      F<kFloatCodes + kE4M3Fnuz>, F<kFloatCodes + kE2M1>
#define CKPT_QUANT                                                                                 \
  {                                                                                                \
    {CKPT_NARROW(kSum), kSum<kF64>, CKPT_SMALL(kSum)},                                             \
    {CKPT_NARROW(kExactSum), nullptr, CKPT_SMALL(kExactSum)},                                      \
    {encode<kE5M2>, encode<kE4M3>, encode<kE5M2Fnuz>, encode<kE4M3Fnuz>, encode<kE2M1>},           \
    {CKPT_NARROW(distance), distance<kF64>, CKPT_SMALL(distance)}                                  \
  }

// A row that is missing would be a null pointer, called when a tensor of that encoding comes.
[[maybe_unused]] constexpr QuantSum kRows[] = {CKPT_NARROW(kSum), kSum<kF64>, CKPT_SMALL(kSum)};
static_assert(sizeof kRows / sizeof *kRows == kEncodings, "CKPT_QUANT has a row for every encoding");

}  // namespace
}  // namespace ckpt
