// Inputs that lie in boxes: the elements of a segment are part of a grid, row by row, and each box holds a
// rectangle of the grid, its rows a fixed number of bytes apart in one file. The boxes of an input are sorted
// by row and column and stand in bands, each as wide as the grid, one below the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ckpt {

struct Boxes {
  std::vector<std::int32_t> first;         // [S x N + 1] first box of each input; empty where no input has any
  std::vector<std::uint64_t> columns;      // [S x N] of the grid
  std::vector<std::uint64_t> start;        // [S x N] element of the grid that is the segment's first
  std::vector<std::uint64_t> row;          // [boxes], as all below
  std::vector<std::uint64_t> rows;
  std::vector<std::uint64_t> column;
  std::vector<std::uint64_t> width;        // columns
  std::vector<std::int32_t> file;
  std::vector<std::uint64_t> offset;       // bytes
  std::vector<std::uint64_t> row_stride;   // bytes

  bool empty() const { return first.empty(); }
  // Whether an input ([S x N]) lies in boxes.
  bool hold(std::size_t input) const { return !first.empty() && first[input] < first[input + 1]; }
};

// Part of a box that a run of elements of the grid touches.
struct Patch {
  std::size_t box;
  std::uint64_t row, rows;
  std::uint64_t column, width;
  // elements of the run in the patches before it
  std::uint64_t before;
};

// Takes a run of elements of an input's grid apart: what it has of its first row, then whole rows band by
// band, then what it has of its last row; each of them from left to right. So where the elements of a patch
// come in this order follows from its place alone (see PatchOrder).
class PatchWalk {
 public:
  // Elements [first, end), which the boxes of the input hold. Finds the first box by binary search.
  PatchWalk(const Boxes& boxes, std::size_t input, std::uint64_t first, std::uint64_t end);
  // False at the end.
  bool next(Patch* patch);

 private:
  void begin_strip();

  const Boxes* boxes_;
  std::uint64_t columns_;
  std::uint64_t begin_;
  std::uint64_t end_;
  std::uint64_t at_;          // first element of the strip: rows that are cut alike
  std::uint64_t row_ = 0;
  std::uint64_t rows_ = 0;
  std::uint64_t from_ = 0;    // columns of the strip
  std::uint64_t to_ = 0;
  std::uint64_t column_ = 0;  // next
  std::size_t band_ = 0;      // first box of the band
  std::size_t box_ = 0;       // next
};

// A place in an input's grid that moves on in the order of the elements, from box to box.
class RowWalk {
 public:
  void seek(const Boxes& boxes, std::size_t input, std::uint64_t element);
  std::uint64_t element() const { return element_; }
  // The rest of the row of the box that the element lies in.
  Patch patch(const Boxes& boxes) const;
  // Moves on, not beyond the rest of the row; in a box as wide as the grid not beyond the box.
  void advance(const Boxes& boxes, std::uint64_t elements);

 private:
  std::uint64_t columns_ = 1;
  std::uint64_t element_ = ~std::uint64_t{0};  // nowhere
  std::uint64_t row_ = 0;
  std::uint64_t column_ = 0;
  std::size_t band_ = 0;  // first box of the band
  std::size_t box_ = 0;
};

// Where the patches of a run come, if those of a PatchWalk are laid out one after the other.
class PatchOrder {
 public:
  PatchOrder() = default;
  PatchOrder(const Boxes& boxes, std::size_t input, std::uint64_t first, std::uint64_t end);

  struct Place {
    std::uint64_t element;  // of the first element of the patch in that order
    std::uint64_t stride;   // elements from each of its rows to the next
  };
  // Of a patch of a walk over any part of the run.
  Place place(const Boxes& boxes, const Patch& patch) const;

 private:
  std::uint64_t columns_ = 1;
  std::uint64_t first_ = 0;
  std::uint64_t whole_from_ = 0;  // rows that the run has whole
  std::uint64_t whole_to_ = 0;
};

}  // namespace ckpt
