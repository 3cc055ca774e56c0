// The arithmetic of one task: dequantises and averages panel by panel, finds scales, encodes. One per thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../../io/buffer.h"
#include "../../kernels/kernel_table.h"
#include "quant_job.h"
#include "quant_scale.h"

namespace ckpt {

// A panel of float64 in half of a second-level cache: one block of 128 x 128, or a row of small blocks. A
// larger block is still one panel up to kMostPanel; beyond, it is merged twice, once for its amax.
constexpr std::uint64_t kPanel = 16384;
constexpr std::uint64_t kMostPanel = 32768;
// Columns of a transposed output that are computed together: enough to make the work on a row worth a call,
// and their output rows stay in cache.
constexpr std::uint64_t kTransposeCols = 512;

// Where a task's data of one member begin.
struct QuantSource {
  const std::uint8_t* codes = nullptr;   // of the task's first row
  const std::uint8_t* scales = nullptr;  // of its first block-row; null: none
};

class Quantiser {
 public:
  explicit Quantiser(const KernelTable& kernels) : kernels_(kernels) {}

  // Bytes that quantise() and transpose() may allocate for this strip.
  static std::uint64_t scratch_bytes(const QuantJob& job, std::size_t strip);

  // Chooses a task. `sources` [N] must outlive the use. False where there is no memory.
  bool begin(const QuantJob& job, const QuantTask& task, const QuantSource* sources);

  // Output k of the task, rows as they are: `codes` gets all its codes (null: none are wanted), `scales` all
  // its scales (null: none). Ends early on cancel.
  void quantise(std::size_t k, std::uint8_t* codes, std::uint8_t* scales, QuantFigures* figures);

  // Columns [first, first + cols) of output k, at most kTransposeCols, each as a run of the task's rows.
  void transpose(std::size_t k, std::uint64_t first, std::uint64_t cols, std::uint8_t* to, QuantFigures* figures);

  // NaN and infinity among the task's dequantised values, by member; to be asked for where nonfinite() says
  // so.
  bool nonfinite() const { return nonfinite_; }
  void count_nonfinite(std::vector<Nonfinite>* counts);

 private:
  // Part of one block-row, as one panel for the kernels: whole blocks, or a part of one block.
  struct Piece {
    std::uint64_t block_row;  // within the task
    std::uint64_t row;        // within the task
    std::uint64_t rows;
    std::uint64_t col;
    std::uint64_t cols;
    std::uint64_t block;      // columns of a block within the piece
  };

  Panel panel(const Piece& piece) const;
  Codes codes_of(std::size_t n, const Piece& piece, double weight);
  void choose_members(std::size_t k);
  bool merge(const Piece& piece, bool last);
  void finite_peaks(const Piece& piece);
  bool same_block(const Piece& piece) const;
  std::uint64_t piece_end(std::uint64_t col, std::uint64_t rows) const;
  void quantise_blocks(const Piece& whole, std::uint8_t* codes, std::uint8_t* scales, QuantFigures* figures);
  template <typename Work>
  static void for_each_part(const Piece& whole, Work work);
  void find_scales(const Piece& whole, bool copied, bool nonfinite, std::uint8_t* scales);
  Scale copied_scale(std::uint64_t block) const;
  std::uint8_t zero_scale(std::uint64_t block) const;
  void encode(const Piece& piece, std::uint8_t* codes, bool copied, QuantFigures* figures);
  void measure_change(const Piece& piece);
  void dequantise(const Piece& piece, std::uint8_t* codes, QuantFigures* figures);
  void store_wide(const double* values, std::size_t count, std::uint8_t* to) const;

  struct Member {
    std::size_t n;
    double weight;
  };

  const KernelTable& kernels_;
  const QuantJob* job_ = nullptr;
  const QuantSource* sources_ = nullptr;
  QuantTask task_{};
  bool nonfinite_ = false;
  // Of the output in work:
  std::size_t k_ = 0;
  std::size_t at_ = 0;                  // strip x K + k
  std::vector<Member> members_;         // with a weight
  std::vector<Member> first_;           // the first of them with weight 1: what a copied block means
  bool may_copy_ = false;               // members are encoded as the output is
  bool own_amax_ = false;
  const std::vector<Member>* merging_ = nullptr;
  bool exact_ = false;                  // all products of weights and values are exact
  bool change_measured_ = false;        // by the kernel that merged the piece
  double error_lanes_[kLanes];
  double change_lanes_[kLanes];

  Buffer values_;                            // a panel of float64
  Buffer turned_;                            // a panel of a transposed output before it is turned
  std::vector<double> peaks_;                // [blocks of a panel]
  std::vector<double> out_scales_;           // [blocks of a panel]
  std::vector<std::vector<double>> scales_;  // [N] of a panel
  std::vector<Codes> codes_;
};

// Calls `work` with the parts of a piece that are panels: the piece itself, or of a block that is too large
// bands of rows, or rows in parts.
template <typename Work>
void Quantiser::for_each_part(const Piece& whole, Work work) {
  if (whole.rows * whole.cols <= kMostPanel) return work(whole);
  const std::uint64_t cols = std::min(whole.cols, kMostPanel);
  const std::uint64_t rows = kMostPanel / cols;
  for (std::uint64_t r = 0; r < whole.rows; r += rows) {
    for (std::uint64_t c = 0; c < whole.cols; c += cols) {
      Piece part = whole;
      part.row = whole.row + r;
      part.rows = std::min(rows, whole.rows - r);
      part.col = whole.col + c;
      part.cols = std::min(cols, whole.cols - c);
      work(part);
    }
  }
}

}  // namespace ckpt
