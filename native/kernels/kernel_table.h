// What a compiled instruction set offers. C-like on purpose: kernel objects may contain no inline or weak
// symbol, or the linker could keep an AVX-512 copy of a shared function for every CPU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ckpt {

// Float dtypes, numbered as in src/base/dtype.ts.
enum FloatCode : int { kBF16 = 0, kF16 = 1, kF32 = 2, kF64 = 3 };
constexpr int kFloatCodes = 4;
// Small floats, in the order of their kernels; codes of the dtypes stand in core/dtype.h.
enum SmallFloat : int { kE5M2 = 0, kE4M3 = 1, kE5M2Fnuz = 2, kE4M3Fnuz = 3, kE2M1 = 4 };
constexpr int kSmallFloats = 5;
// Encodings of a value: the float dtypes, then the small floats.
constexpr int kEncodings = kFloatCodes + kSmallFloats;

// Outputs computed from one decoding of the inputs: 4 x 4 accumulators fill half of 32 vector registers.
constexpr std::size_t kMaxGroup = 4;

// One run of elements, small enough that its inputs and outputs stay in cache. All inputs share a dtype, all
// outputs share a dtype.
struct Block {
  const void* const* inputs;  // [input_count], any alignment
  // [outputs x input_count]; 0 where the input is no member of the output (never 0 with a single output)
  const double* weights;
  void* const* outputs;       // [outputs], any alignment
  std::size_t input_count;
  std::size_t count;          // elements
};

// Writes the outputs and says whether any of them may be non-finite; those bytes are then unspecified and the
// caller computes the block again with the careful path.
using BlockKernel = bool (*)(const Block&);

// Partial sums of a sum of products.
constexpr std::size_t kLanes = 8;

// Where the sum of the products of inputs i <= j lies in a triangle, row by row. (static: see above)
static constexpr std::size_t gram_pair(std::size_t inputs, std::size_t i, std::size_t j) { return i * inputs - i * (i + 1) / 2 + j; }

// Rows of float64 in cache.
struct GramBlock {
  const double* rows;   // [inputs][stride]
  std::size_t stride;
  std::size_t inputs;
  std::size_t count;    // a multiple of kLanes; what is past the elements is 0
  // added to: [inputs (inputs + 1) / 2][kLanes] for products, [inputs][kLanes] for steps
  double* lanes;
};

struct GramKernels {
  void (*add_products)(const GramBlock&);
  // For rows whose products are exact in float64: all dtypes but F64.
  void (*add_exact_products)(const GramBlock&);
  // Adds the squares of the steps from each row to the next to the lanes of the latter; `largest`
  // [inputs][kLanes] keeps the largest square.
  void (*add_steps)(const GramBlock&, double* largest);
};

// A panel of a matrix: rows x cols, made of blocks of `block` columns (the last may be narrower), each with a
// scale of its own.
struct Panel {
  std::size_t rows;
  std::size_t cols;
  std::size_t block;
};

// A member's codes under a panel. FP4 lies two codes a byte, low nibble first.
struct Codes {
  const void* codes;     // of the panel's first element
  std::size_t stride;    // bytes from row to row
  const double* scales;  // [blocks]
  double weight;
};

// Members that are summed in one call.
constexpr std::size_t kMostSummed = 64;

// values [rows x cols] = weight x (code x scale) summed over at most kMostSummed members, in order; added to
// what is there unless `first`. In `peaks` [blocks] the largest magnitude of each block. True where some
// value is not finite; the peaks are then unspecified. `lanes`, unless null, as in distance, of the last
// member.
using QuantSum = bool (*)(const Panel& panel, const Codes* members, std::size_t count, bool first, double* values, double* peaks, double* lanes);

struct QuantKernels {
  QuantSum accumulate[kEncodings];
  // The same where weight x code x scale is exact in float64 for each member: a product less, and fused with
  // its addition; null for F64.
  QuantSum accumulate_exact[kEncodings];
  // Codes of float32(value / scale), `stride` bytes from row to row. True where some is not finite or out of
  // range; those codes are then unspecified. `lanes`, unless null, as in distance, of what the codes written
  // stand for; unspecified too where true is returned.
  bool (*encode[kSmallFloats])(const Panel& panel, const double* values, const double* scales, void* codes, std::size_t stride, double* lanes);
  // Adds (code x scale - value)^2 to the lanes, column i of a block to lane i mod kLanes; block by block,
  // each row by row.
  void (*distance[kEncodings])(const Panel& panel, const Codes& member, const double* values, double* lanes);
};

struct KernelTable {
  BlockKernel combine[kFloatCodes][kFloatCodes][kMaxGroup];  // [input dtype][output dtype][outputs - 1]
  // The same with fused multiply-add, for weights whose products are exact in float64 (then fusing changes
  // nothing); null for F64 inputs.
  BlockKernel combine_exact[kFloatCodes][kFloatCodes][kMaxGroup];
  void (*widen[kFloatCodes])(const void* input, double* output, std::size_t count);
  GramKernels gram;
  QuantKernels quant;
};

}  // namespace ckpt
