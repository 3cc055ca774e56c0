// The kernel: outputs = weights x inputs, elementwise, in float64. This one source is compiled once per
// instruction set (cmake/AddKernel.cmake); the op layer supplies the vectors. Multiply and add stay separate
// roundings (-ffp-contract=off), so every instruction set gives the same bits.
#include "kernel_table.h"

#if defined(CKPT_KERNEL_AVX512)
#include "ops_avx512.h"
#elif defined(CKPT_KERNEL_AVX2)
#include "ops_avx2.h"
#elif defined(CKPT_KERNEL_NEON)
#include "ops_neon.h"
#else
#include "ops_scalar.h"
#endif
#include "gram_kernel.h"

namespace ckpt {
namespace {

// How far ahead of each input a cache line is asked for. Hardware stops at the end of a page, and inputs are
// read from memory once: asking took 17 % off the time of a merge's arithmetic, alike from 1 to 4 KiB. Past
// the end of an input it does nothing.
constexpr std::size_t kPrefetchBytes = 2048;

// -0 + p == p for every p, signs included, so starting there is the same as starting with the first product.
constexpr double kStart = -0.0;

// Elements [from, count) one by one. True where some output is non-finite.
template <int In, int Out>
bool combine_elements(const Block& block, std::size_t outputs, std::size_t from) {
  bool finite = true;
  for (std::size_t k = 0; k < outputs; ++k) {
    const double* weights = block.weights + k * block.input_count;
    for (std::size_t i = from; i < block.count; ++i) {
#if defined(CKPT_FLOAT_ACCUMULATORS)
      float sum = -0.0f;
      for (std::size_t n = 0; n < block.input_count; ++n) {
        const double x = load_element<In>(block.inputs[n], i);
        if (weights[n] != 0) sum = sum + static_cast<float>(weights[n]) * static_cast<float>(x);
      }
#else
      double sum = kStart;
      for (std::size_t n = 0; n < block.input_count; ++n) {
        if (weights[n] != 0) sum = sum + weights[n] * load_element<In>(block.inputs[n], i);
      }
#endif
      finite = store_element<Out>(block.outputs[k], i, static_cast<double>(sum)) && finite;
    }
  }
  return !finite;
}

template <int In>
void widen_elements(const void* input, double* output, std::size_t from, std::size_t count) {
  for (std::size_t i = from; i < count; ++i) output[i] = load_element<In>(input, i);
}

#if !defined(CKPT_NO_VECTORS)

template <int Code>
constexpr std::size_t kSize = Code == kF64 ? 8 : Code == kF32 ? 4 : 2;

template <int Code>
inline const void* at(const void* base, std::size_t index) {
  return static_cast<const unsigned char*>(base) + index * kSize<Code>;
}
template <int Code>
inline void* at(void* base, std::size_t index) {
  return static_cast<unsigned char*>(base) + index * kSize<Code>;
}

template <int In, int Out>
inline Single load_singles(const void* from) {
  if constexpr (In == kBF16 && Out == kBF16) {
    return load_bfloat_even_odd(from);  // undone by the store, so it costs no shuffle
  } else if constexpr (In == kBF16) {
    return load_bfloat(from);
  } else if constexpr (In == kF16) {
    return load_half(from);
  } else {
    return load_single(from);
  }
}

template <int In, int Out>
inline Wide load_wide(const void* from) {
  if constexpr (In == kF64) {
    return load_double(from);
  } else if constexpr (In == kF32) {
    return load_single_wide(from);
  } else {
    return widen(load_singles<In, Out>(from));
  }
}

template <int In, int Out>
inline void store_singles(void* to, const Single& x) {
  if constexpr (In == kBF16 && Out == kBF16) {
    store_bfloat_even_odd(to, x);
  } else if constexpr (Out == kBF16) {
    store_bfloat(to, x);
  } else if constexpr (Out == kF16) {
    store_half(to, x);
  } else {
    store_single(to, x);
  }
}

// The smallest float32 magnitude (as bits) that becomes infinite in the output dtype.
template <int Out>
constexpr std::uint32_t kOverflow = Out == kBF16 ? 0x7f7f8000u : Out == kF16 ? 0x477ff000u : 0x7f800000u;

// Stores and remembers whether anything was non-finite.
template <int In, int Out>
struct Writer {
  Worst worst;
  Double nan = broadcast(0);
  inline void put(void* to, const Wide& sum) {
    if constexpr (Out == kF64) {
      // x - x is NaN for infinity and NaN
      for (int part = 0; part < kParts; ++part) nan = add(nan, sub(sum.part[part], sum.part[part]));
      store_double(to, sum);
    } else {
      put_singles(to, narrow(sum));
    }
  }
  inline void put_singles(void* to, const Single& x) {
    worst.see(x);
    store_singles<In, Out>(to, x);
  }
  bool nonfinite() const { return Out == kF64 ? any_nan(nan) : worst.reaches(kOverflow<Out>); }
};

template <bool Exact>
inline Double accumulate(Double sum, Double weight, Double x) {
  if constexpr (Exact) return fused(weight, x, sum);
  return add(sum, mul(weight, x));
}

template <int In, int Out, int Outputs, bool Exact>
bool combine(const Block& block) {
  Writer<In, Out> writer;
  std::size_t i = 0;
  for (; i + kStep <= block.count; i += kStep) {
    Wide sum[Outputs];
    for (int k = 0; k < Outputs; ++k) {
      for (int part = 0; part < kParts; ++part) sum[k].part[part] = broadcast(kStart);
    }
    for (std::size_t n = 0; n < block.input_count; ++n) {
      __builtin_prefetch(static_cast<const char*>(at<In>(block.inputs[n], i)) + kPrefetchBytes);
      const Wide x = load_wide<In, Out>(at<In>(block.inputs[n], i));
      for (int k = 0; k < Outputs; ++k) {
        const double weight = block.weights[static_cast<std::size_t>(k) * block.input_count + n];
        if (Outputs > 1 && weight == 0) continue;
        for (int part = 0; part < kParts; ++part) {
          sum[k].part[part] = accumulate<Exact>(sum[k].part[part], broadcast(weight), x.part[part]);
        }
      }
    }
    for (int k = 0; k < Outputs; ++k) writer.put(at<Out>(block.outputs[k], i), sum[k]);
  }
  const bool tail = combine_elements<In, Out>(block, Outputs, i);
  return writer.nonfinite() || tail;
}

#if defined(CKPT_FLOAT_ACCUMULATORS)

// Bench only: what float32 accumulators would cost. Two roundings too many, so no product uses it.
template <int In, int Out>
bool combine_float(const Block& block) {
  Writer<In, Out> writer;
  std::size_t i = 0;
  for (; i + kStep <= block.count; i += kStep) {
    Single sum = {};
    for (std::size_t n = 0; n < block.input_count; ++n) {
      const Single x = load_singles<In, Out>(at<In>(block.inputs[n], i));
      const float weight = static_cast<float>(block.weights[n]);
      sum.a = sum.a + x.a * weight;
      sum.b = sum.b + x.b * weight;
    }
    writer.put_singles(at<Out>(block.outputs[0], i), sum);
  }
  const bool tail = combine_elements<In, Out>(block, 1, i);
  return writer.nonfinite() || tail;
}

#endif

template <int In>
void widen_block(const void* input, double* output, std::size_t count) {
  std::size_t i = 0;
  for (; i + kStep <= count; i += kStep) store_double(output + i, load_wide<In, kF64>(at<In>(input, i)));
  widen_elements<In>(input, output, i, count);
}

#else

template <int In, int Out, int Outputs, bool Exact>
bool combine(const Block& block) {
  return combine_elements<In, Out>(block, Outputs, 0);
}

template <int In>
void widen_block(const void* input, double* output, std::size_t count) {
  widen_elements<In>(input, output, 0, count);
}

#endif

}  // namespace
}  // namespace ckpt

#include "quant_kernel.h"

namespace ckpt {
namespace {

#define CKPT_GROUP(In, Out, Exact) \
  { combine<In, Out, 1, Exact>, combine<In, Out, 2, Exact>, combine<In, Out, 3, Exact>, combine<In, Out, 4, Exact> }
#define CKPT_OUTPUTS(In, Exact) \
  { CKPT_GROUP(In, kBF16, Exact), CKPT_GROUP(In, kF16, Exact), CKPT_GROUP(In, kF32, Exact), CKPT_GROUP(In, kF64, Exact) }

}  // namespace

// One data symbol per instruction set, in a namespace of its name; nothing else leaves this object.
namespace CKPT_KERNEL_NAMESPACE {
extern const KernelTable table;
#if defined(CKPT_FLOAT_ACCUMULATORS)
#define CKPT_FLOAT(In) \
  { combine_float<In, In>, nullptr, nullptr, nullptr }
#define CKPT_FLOATS {CKPT_FLOAT(kBF16), {}, {}, {}}, {{}, CKPT_FLOAT(kF16), {}, {}}, {{}, {}, CKPT_FLOAT(kF32), {}}, {}
const KernelTable table = {{CKPT_FLOATS}, {CKPT_FLOATS}, {}, {}, {}};
#else
const KernelTable table = {
    {CKPT_OUTPUTS(kBF16, false), CKPT_OUTPUTS(kF16, false), CKPT_OUTPUTS(kF32, false), CKPT_OUTPUTS(kF64, false)},
    {CKPT_OUTPUTS(kBF16, true), CKPT_OUTPUTS(kF16, true), CKPT_OUTPUTS(kF32, true), {}},
    {widen_block<kBF16>, widen_block<kF16>, widen_block<kF32>, widen_block<kF64>},
    {add_products<false>, add_products<true>, add_steps},
    CKPT_QUANT};
#endif
}  // namespace CKPT_KERNEL_NAMESPACE

}  // namespace ckpt
