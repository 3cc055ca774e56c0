// The kernels of sums of products, on float64 rows that lie in cache. Part of the one kernel source
// (combine_kernel.cpp includes it), so compiled once per instruction set.
//
// One fixed order of additions whatever the instruction set: a sum has kLanes partial sums, element i goes to
// lane i % kLanes, each lane adds in order. Every product and every addition is rounded on its own; where the
// product is exact, a fused instruction does the same.
#pragma once

#include "kernel_table.h"

namespace ckpt {
namespace {

#if defined(CKPT_NO_VECTORS)

using Double = double;
inline Double mul(Double x, Double y) { return x * y; }
inline Double add(Double x, Double y) { return x + y; }
inline Double sub(Double x, Double y) { return x - y; }
inline Double fused(Double x, Double y, Double z) { return z + x * y; }
inline Double larger(Double x, Double y) { return x > y ? x : y; }

#endif

constexpr std::size_t kWidth = sizeof(Double) / sizeof(double);
constexpr std::size_t kVectors = kLanes / kWidth;  // vectors that hold the lanes of one sum

// Rows whose products with each other are summed at a time: their lanes stay in registers (32 of them with
// AVX-512 and NEON, 16 with AVX2).
constexpr std::size_t kTileRows = kVectors == 1 ? 4 : kVectors == 8 ? 1 : 2;

inline Double load_vector(const double* from) {
  Double x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}
inline void store_vector(double* to, Double x) { __builtin_memcpy(to, &x, sizeof x); }

// Products of Rows rows from `a` on with Cols rows from `b` on; of the upper triangle only, where both are
// the same rows.
template <std::size_t Rows, std::size_t Cols, bool Triangle, bool Exact>
void sum_tile(const GramBlock& block, std::size_t a, std::size_t b) {
  const double* left = block.rows + a * block.stride;
  const double* right = block.rows + b * block.stride;
  Double sum[Rows][Cols][kVectors];
  const auto each = [&](auto&& act) {
    for (std::size_t r = 0; r < Rows; ++r) {
      for (std::size_t c = Triangle ? r : 0; c < Cols; ++c) act(r, c, block.lanes + gram_pair(block.inputs, a + r, b + c) * kLanes);
    }
  };
  each([&](std::size_t r, std::size_t c, const double* lanes) {
    for (std::size_t v = 0; v < kVectors; ++v) sum[r][c][v] = load_vector(lanes + v * kWidth);
  });
  for (std::size_t i = 0; i < block.count; i += kLanes) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      Double x[Rows];
      Double y[Cols];
      for (std::size_t r = 0; r < Rows; ++r) x[r] = load_vector(left + r * block.stride + i + v * kWidth);
      for (std::size_t c = 0; c < Cols; ++c) y[c] = Triangle ? x[c] : load_vector(right + c * block.stride + i + v * kWidth);
      for (std::size_t r = 0; r < Rows; ++r) {
        for (std::size_t c = Triangle ? r : 0; c < Cols; ++c) sum[r][c][v] = Exact ? fused(x[r], y[c], sum[r][c][v]) : add(sum[r][c][v], mul(x[r], y[c]));
      }
    }
  }
  each([&](std::size_t r, std::size_t c, double* lanes) {
    for (std::size_t v = 0; v < kVectors; ++v) store_vector(lanes + v * kWidth, sum[r][c][v]);
  });
}

template <std::size_t Rows, std::size_t Cols, bool Exact>
void sum_rows(const GramBlock& block, std::size_t rows, std::size_t cols, std::size_t a, std::size_t b) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return sum_rows<Rows - 1, Cols, Exact>(block, rows, cols, a, b);
  }
  if constexpr (Cols > 1) {
    if (cols < Cols) return sum_rows<Rows, Cols - 1, Exact>(block, rows, cols, a, b);
  }
  sum_tile<Rows, Cols, false, Exact>(block, a, b);
}

template <std::size_t Rows, bool Exact>
void sum_triangle(const GramBlock& block, std::size_t rows, std::size_t a) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return sum_triangle<Rows - 1, Exact>(block, rows, a);
  }
  sum_tile<Rows, Rows, true, Exact>(block, a, a);
}

template <bool Exact>
void add_products(const GramBlock& block) {
  for (std::size_t a = 0; a < block.inputs; a += kTileRows) {
    const std::size_t rows = block.inputs - a;
    sum_triangle<kTileRows, Exact>(block, rows, a);
    for (std::size_t b = a + kTileRows; b < block.inputs; b += kTileRows) {
      sum_rows<kTileRows, kTileRows, Exact>(block, rows, block.inputs - b, a, b);
    }
  }
}

// Steps from each of Rows rows before `a` to the row after it.
template <std::size_t Rows>
void sum_steps(const GramBlock& block, double* largest, std::size_t a) {
  double* lanes = block.lanes + a * kLanes;
  largest += a * kLanes;
  const double* from = block.rows + (a - 1) * block.stride;
  for (std::size_t v = 0; v < kVectors; ++v) {
    Double sum[Rows];
    Double most[Rows];
    for (std::size_t r = 0; r < Rows; ++r) {
      sum[r] = load_vector(lanes + r * kLanes + v * kWidth);
      most[r] = load_vector(largest + r * kLanes + v * kWidth);
    }
    for (std::size_t i = v * kWidth; i < block.count; i += kLanes) {
      Double before = load_vector(from + i);
      for (std::size_t r = 0; r < Rows; ++r) {
        const Double x = load_vector(from + (r + 1) * block.stride + i);
        const Double step = sub(x, before);
        const Double square = mul(step, step);
        sum[r] = add(sum[r], square);
        most[r] = larger(most[r], square);
        before = x;
      }
    }
    for (std::size_t r = 0; r < Rows; ++r) {
      store_vector(lanes + r * kLanes + v * kWidth, sum[r]);
      store_vector(largest + r * kLanes + v * kWidth, most[r]);
    }
  }
}

void add_steps(const GramBlock& block, double* largest) {
  std::size_t a = 1;
  for (; a + 4 <= block.inputs; a += 4) sum_steps<4>(block, largest, a);
  if (a + 2 < block.inputs) return sum_steps<3>(block, largest, a);
  if (a + 1 < block.inputs) return sum_steps<2>(block, largest, a);
  if (a < block.inputs) sum_steps<1>(block, largest, a);
}

}  // namespace
}  // namespace ckpt
