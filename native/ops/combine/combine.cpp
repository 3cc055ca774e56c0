#include "combine.h"

#include <cmath>

#include "cell_sums.h"
#include "combiner.h"

namespace ckpt {

bool CombineJob::reads(std::size_t segment, std::size_t n) const {
  if (table[segment] < 0) return static_cast<std::size_t>(-1 - table[segment]) == n;
  const double* weight = rows(segment);
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (weight[k * inputs + n] != 0) return true;
  }
  return false;
}

namespace {

Status validate_columns(const CombineJob& job) {
  const std::size_t s = job.segments;
  const std::size_t n = job.inputs;
  const std::size_t k = job.outputs.size();
  if (k == 0) return failure(Code::invalid_arg, "no outputs");
  const Status lengths = validate_lengths(job);
  if (!lengths.ok()) return lengths;
  if (job.table.size() != s || job.cell.size() != s + 1) return failure(Code::invalid_arg, "arrays of a job differ in length");
  if (n == 0 ? !job.weights.empty() : job.weights.size() % (k * n) != 0) return failure(Code::invalid_arg, "weights are not whole tables");
  for (const double weight : job.weights) {
    if (!std::isfinite(weight)) return failure(Code::invalid_arg, "a weight is not finite");
  }
  return {};
}

Status validate_cells(const CombineJob& job, std::size_t segment) {
  const std::int32_t first = job.cell[segment];
  const std::int32_t end = job.cell[segment + 1];
  if (first < 0 || end < first || static_cast<std::size_t>(end) > job.cell_end.size()) return invalid("cells run backwards", segment);
  std::uint64_t before = 0;
  for (auto c = static_cast<std::size_t>(first); c < static_cast<std::size_t>(end); ++c) {
    if (job.cell_end[c] < before) return invalid("cells run backwards", segment);
    before = job.cell_end[c];
  }
  if ((job.copied(segment) < 0 || job.crc32) && before != job.count[segment]) return invalid("cells do not cover their segment", segment);
  return {};
}

Status validate_segment(const CombineJob& job, std::size_t segment, const std::vector<bool>& table_is_whole) {
  const std::int32_t which = job.table[segment];
  if (which < 0 ? static_cast<std::size_t>(-1 - static_cast<std::int64_t>(which)) > job.inputs
                : static_cast<std::size_t>(which) >= table_is_whole.size()) {
    return invalid("a segment names a weight table or member that is not there", segment);
  }
  if (which >= 0 && !table_is_whole[static_cast<std::size_t>(which)]) return invalid("all weights of an output are zero", segment);
  Status status = validate_inputs(job, segment);
  if (status.ok()) status = validate_outputs(job, segment);
  return status.ok() ? validate_cells(job, segment) : status;
}

// A thread's tiles and arithmetic.
struct CombineRunner {
  CombineRunner(const KernelTable& kernels, const EngineShape& shape) : combiner(kernels), chunks(shape.tile_bytes) {}
  Combiner combiner;
  ChunkRunner chunks;
};

class Combine final : public Operation {
 public:
  explicit Combine(const CombineJob& job) : job_(job) {}

  const Job& job() const override { return job_; }

  Status validate() const override {
    const Status columns = validate_columns(job_);
    if (!columns.ok()) return columns;
    const std::size_t row = job_.inputs;
    std::vector<bool> table_is_whole(job_.weights.empty() ? 0 : job_.weights.size() / (row * job_.outputs.size()), true);
    for (std::size_t r = 0; r < table_is_whole.size() * job_.outputs.size(); ++r) {
      bool any = false;
      for (std::size_t n = 0; n < row; ++n) any = any || job_.weights[r * row + n] != 0;
      if (!any) table_is_whole[r / job_.outputs.size()] = false;
    }
    for (std::size_t segment = 0; segment < job_.segments; ++segment) {
      const Status status = validate_segment(job_, segment, table_is_whole);
      if (!status.ok()) return status;
    }
    return {};
  }

  void begin(const ChunkPlan& plan) override {
    nonfinite_.resize(plan.chunks.size());
    if (job_.crc32) cells_.resize(plan.chunks.size());
  }

  Status run(const ChunkWork& work, Workspace& workspace, Written* written, Tally* tally) override {
    auto& runner = workspace.get<CombineRunner>();
    runner.combiner.begin(job_, &nonfinite_[work.index], job_.crc32 ? &cells_[work.index] : nullptr);
    return runner.chunks.run(job_, work, workspace.get<InputFeed>(), runner.combiner, written, tally);
  }

  NonfiniteCounts nonfinite() const {
    NonfiniteCounts all;
    for (const NonfiniteCounts& chunk : nonfinite_) {
      for (const auto& [where, count] : chunk) all[where].add(count);
    }
    return all;
  }

  std::vector<std::uint32_t> cell_crc32() const {
    std::vector<std::uint32_t> all;
    if (job_.crc32) all.resize(job_.cell_end.size() * job_.outputs.size());
    for (const CellSums& chunk : cells_) chunk.append_to(job_, &all);
    return all;
  }

 private:
  const CombineJob& job_;
  std::vector<NonfiniteCounts> nonfinite_;  // [chunks]
  std::vector<CellSums> cells_;             // [chunks] where they are wanted
};

}  // namespace

Status combine(Engine& engine, const CombineJob& job, CombineResult* result) {
  Combine operation(job);
  const Status status = engine.run(operation, result);
  if (!status.ok()) return status;
  result->nonfinite = operation.nonfinite();
  result->cell_crc32 = operation.cell_crc32();
  return status;
}

}  // namespace ckpt
