// One thread of a requantise call: reads, computes and writes one task at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <vector>

#include "../../engine/chunks.h"
#include "../../io/buffer.h"
#include "quant_job.h"
#include "quantiser.h"

namespace ckpt {

// Lets a number of threads through at a time.
class Gate {
 public:
  explicit Gate(std::size_t places) : free_(places) {}

  // A place, from when it is free until the end of the scope.
  class Place {
   public:
    explicit Place(Gate& gate) : gate_(gate) {
      std::unique_lock<std::mutex> lock(gate_.mutex_);
      gate_.opened_.wait(lock, [this] { return gate_.free_ != 0; });
      --gate_.free_;
    }
    ~Place() {
      const std::lock_guard<std::mutex> lock(gate_.mutex_);
      ++gate_.free_;
      gate_.opened_.notify_one();
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    Gate& gate_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  std::size_t free_;
};

// The codes of member n that a task needs.
Range codes_extent(const QuantJob& job, const QuantTask& task, std::size_t n);

// What the threads of a call share.
struct QuantRun {
  QuantRun(const QuantJob& of, std::size_t computing) : job(of), tasks(plan_tasks(of)), figures(tasks.size() * of.outputs.size()), gate(computing) {}
  const QuantJob& job;
  const std::vector<QuantTask> tasks;
  std::vector<QuantFigures> figures;  // [tasks x K]
  std::vector<Mapping*> mappings;     // of the job's files
  Gate gate;                          // of those that compute
  std::atomic<std::size_t> next{0};   // first task that nobody has taken
  std::atomic<bool> stop{false};
};

// One thread's buffers and the task in its hands.
class QuantWorker {
 public:
  QuantWorker(QuantRun& run, const KernelTable& kernels) : run_(run), job_(run.job), quantiser_(kernels), mine_(run.job.inputs) {}

  // Bytes of buffers for a task.
  static std::uint64_t bytes(const QuantJob& job, const QuantTask& task);

  // Does task `index`.
  Status perform(std::size_t index);
  // Adds up what this thread did.
  void report(QuantResult* result) const;

 private:
  struct Own {
    Buffer codes;
    Buffer scales;
  };

  Status load(const QuantTask& task);
  Status fetch(const Range& extent, Buffer* own, const std::uint8_t** data);
  Status compute(const QuantTask& task, QuantFigures* figures);
  Status quantise(const QuantTask& task, std::size_t k, QuantFigures* figures);
  Status transpose(const QuantTask& task, std::size_t k, QuantFigures* figures);
  Status write(std::size_t k, std::uint64_t offset, const std::uint8_t* data, std::uint64_t size);

  QuantRun& run_;
  const QuantJob& job_;
  Quantiser quantiser_;
  std::vector<QuantSource> sources_;  // [N]
  std::vector<Own> mine_;             // [N] in mode read
  Buffer codes_;
  Buffer scales_;
  std::map<std::pair<std::size_t, std::size_t>, Nonfinite> nonfinite_;
  std::uint64_t bytes_read_ = 0;
  std::uint64_t bytes_written_ = 0;
  double read_seconds_ = 0;
  double compute_seconds_ = 0;
  double write_seconds_ = 0;
};

}  // namespace ckpt
