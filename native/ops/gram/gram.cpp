#include "gram.h"

#include "gram_runner.h"

namespace ckpt {
namespace {

class Products final : public Operation {
 public:
  Products(const GramJob& job, std::vector<double>* sums) : job_(job), sums_(*sums) {}

  const Job& job() const override { return job_; }

  Status validate() const override {
    const Status lengths = validate_lengths(job_);
    if (!lengths.ok()) return lengths;
    if (!job_.outputs.empty()) return failure(Code::invalid_arg, "products have no outputs");
    if (job_.inputs == 0 || job_.inputs > kMostGramInputs) return failure(Code::invalid_arg, "products are of 1 to 32 inputs");
    for (std::size_t segment = 0; segment < job_.segments; ++segment) {
      const Status status = validate_inputs(job_, segment);
      if (!status.ok()) return status;
    }
    return {};
  }

  // Chunks begin at whole spans.
  ChunkRules rules() const override { return {kSpan, kSpanBytes}; }

  void begin(const ChunkPlan&) override {
    for (const std::uint64_t count : job_.count) {
      first_span_.push_back(first_span_.back() + static_cast<std::size_t>((count + kSpan - 1) / kSpan));
    }
    sums_.resize(first_span_.back() * gram_width(job_.inputs));
  }

  Status run(const ChunkWork& work, Workspace& workspace, Written*, Tally* tally) override {
    return workspace.get<GramRunner>().run(job_, work, workspace.get<InputFeed>(), first_span_, sums_.data(), tally);
  }

 private:
  const GramJob& job_;
  std::vector<double>& sums_;
  std::vector<std::size_t> first_span_{0};  // [S + 1] where each segment's spans begin
};

}  // namespace

Status gram(Engine& engine, const GramJob& job, GramResult* result) {
  Products operation(job, &result->sums);
  return engine.run(operation, result);
}

}  // namespace ckpt
