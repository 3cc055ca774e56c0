#include "boxes.h"

#include <algorithm>

namespace ckpt {

namespace {

struct Found {
  std::size_t band;  // its first box
  std::size_t box;
};

Found find_box(const Boxes& boxes, std::size_t input, std::uint64_t row, std::uint64_t column) {
  const auto rows = boxes.row.begin();
  const auto last = std::upper_bound(rows + boxes.first[input], rows + boxes.first[input + 1], row) - 1;  // of the band
  const auto band = std::lower_bound(rows + boxes.first[input], last, *last) - rows;
  const auto columns = boxes.column.begin();
  const auto box = std::upper_bound(columns + band, columns + (last - rows) + 1, column) - 1 - columns;
  return {static_cast<std::size_t>(band), static_cast<std::size_t>(box)};
}

}  // namespace

PatchWalk::PatchWalk(const Boxes& boxes, std::size_t input, std::uint64_t first, std::uint64_t end)
    : boxes_(&boxes), columns_(boxes.columns[input]), begin_(first), end_(end), at_(first) {
  if (first == end) return;
  const Found found = find_box(boxes, input, first / columns_, first % columns_);
  band_ = found.band;
  box_ = found.box;
  begin_strip();
}

void PatchWalk::begin_strip() {
  row_ = at_ / columns_;
  from_ = at_ - row_ * columns_;
  const std::uint64_t left = end_ - at_;
  if (from_ != 0 || left < columns_) {
    rows_ = 1;
    to_ = std::min(columns_, from_ + left);
  } else {
    rows_ = std::min(left / columns_, boxes_->row[band_] + boxes_->rows[band_] - row_);
    to_ = columns_;
  }
  column_ = from_;
}

bool PatchWalk::next(Patch* patch) {
  if (at_ == end_) return false;
  const std::uint64_t until = std::min(boxes_->column[box_] + boxes_->width[box_], to_);
  *patch = {box_, row_, rows_, column_, until - column_, at_ - begin_ + rows_ * (column_ - from_)};
  column_ = until;
  if (until != to_) {
    ++box_;
    return true;
  }
  at_ += rows_ * (to_ - from_);
  if (at_ == end_) return true;
  // The strip went to the end of its rows, so this was the last box of the band.
  if (row_ + rows_ == boxes_->row[band_] + boxes_->rows[band_]) band_ = box_ + 1;
  box_ = band_;
  begin_strip();
  return true;
}

void RowWalk::seek(const Boxes& boxes, std::size_t input, std::uint64_t element) {
  columns_ = boxes.columns[input];
  element_ = element;
  row_ = element / columns_;
  column_ = element % columns_;
  const Found found = find_box(boxes, input, row_, column_);
  band_ = found.band;
  box_ = found.box;
}

Patch RowWalk::patch(const Boxes& boxes) const { return {box_, row_, 1, column_, boxes.column[box_] + boxes.width[box_] - column_, 0}; }

void RowWalk::advance(const Boxes& boxes, std::uint64_t elements) {
  element_ += elements;
  column_ += elements;
  if (column_ != boxes.column[box_] + boxes.width[box_] && column_ < columns_) return;
  if (column_ < columns_) {
    ++box_;
    return;
  }
  row_ += column_ / columns_;
  column_ %= columns_;
  if (row_ == boxes.row[band_] + boxes.rows[band_]) band_ = box_ + 1;
  box_ = band_;
}

PatchOrder::PatchOrder(const Boxes& boxes, std::size_t input, std::uint64_t first, std::uint64_t end)
    : columns_(boxes.columns[input]),
      first_(first),
      whole_from_(first / columns_ + (first % columns_ == 0 ? 0 : 1)),
      whole_to_(end / columns_) {}

PatchOrder::Place PatchOrder::place(const Boxes& boxes, const Patch& patch) const {
  // In a row that the run has only part of, elements come as they stand.
  if (patch.row < whole_from_ || patch.row >= whole_to_) return {patch.row * columns_ + patch.column - first_, patch.width};
  const std::uint64_t band = boxes.row[patch.box];
  const std::uint64_t width = boxes.width[patch.box];
  const std::uint64_t row = std::max(band, whole_from_);
  const std::uint64_t rows = std::min(band + boxes.rows[patch.box], whole_to_) - row;
  const std::uint64_t before = row * columns_ - first_ + rows * boxes.column[patch.box];
  return {before + (patch.row - row) * width + (patch.column - boxes.column[patch.box]), width};
}

}  // namespace ckpt
