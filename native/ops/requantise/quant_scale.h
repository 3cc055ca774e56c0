// Scales of quantised blocks: what stored bits stand for, and the scale that a block's amax asks for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ckpt {

struct Scale {
  double value;
  std::uint32_t bits;  // as stored, in the low bytes
};

// The stored bits of scale `index`, and their value. E8M0 byte 255 is NaN.
std::uint32_t load_scale_bits(std::uint8_t dtype, const std::uint8_t* from, std::size_t index);
double scale_value(std::uint8_t dtype, std::uint32_t bits);

// Significant bits of a scale of this dtype.
int scale_precision(std::uint8_t dtype);

// What a new scale is made for.
struct ScaleRule {
  int encoding;          // the kernels' index of a small float
  std::uint8_t dtype;    // of the stored scale
  bool power_of_two;
};

// dtype(float32(amax / largest)), or 2^ceil(log2(amax / largest)); 1 where amax is 0, or for E8M0 the scale
// of byte `zero`. A scale that would be stored as 0 or infinity is the nearest finite positive one.
Scale make_scale(const ScaleRule& rule, double amax, std::uint8_t zero);

// The scale of an MXFP4 block that holds NaN or infinity: E8M0's NaN.
Scale nan_scale();

}  // namespace ckpt
