#include "requantise.h"

#include <algorithm>
#include <new>

#include "../../engine/dtype.h"
#include "../../io/crc32c.h"
#include "../../io/fault_guard.h"
#include "quant_worker.h"

namespace ckpt {

// Tasks run on threads of their own. Positioned reads wait in the thread that needs them, so where files are
// read there are more threads than may compute at once.
Status requantise(Engine& engine, const QuantJob& job, QuantResult* result) {
  const Status valid = validate(job);
  if (!valid.ok()) return valid;
  const auto turn = engine.take_turn();
  const EngineOptions& options = engine.options();
  const EngineShape& shape = engine.shape();
  const std::size_t outputs = job.outputs.size();
  QuantRun run(job, shape.threads);
  bool reads = false;
  for (const auto& file : job.files) {
    if (options.drop_cache) file->remember_residency();
    if (file->mode() == InputMode::read) reads = true;
    else if (file->mapping().length != 0) run.mappings.push_back(&file->mapping());
  }
  if (reads && !options.reads) return failure(Code::invalid_arg, "the engine was made without reads");
  std::uint64_t each = 1;
  for (const QuantTask& task : run.tasks) each = std::max(each, QuantWorker::bytes(job, task));
  const std::uint64_t left = options.memory_bytes - std::min(options.memory_bytes, shape.buffer_bytes);
  if (left < each) return failure(Code::no_memory, "the blocks of one task do not fit in the memory allowed");
  const std::size_t wanted = reads ? std::max(shape.threads, shape.requests_in_flight) : shape.threads;
  const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>({wanted, left / each, run.tasks.size()}));
  const auto for_each_extent = [&job](const QuantTask& task, auto use) {
    for (std::size_t n = 0; n < job.inputs; ++n) {
      if (job.reads(task.strip, n)) use(codes_extent(job, task, n));
    }
  };
  const std::uint64_t window = used_window(job.inputs, job.files.size());
  std::mutex ending;
  Status first_failure;
  const auto work = [&] {
    prepare_thread_for_faults();
    QuantWorker worker(run, engine.kernels());
    Status status;
    while (status.ok() && !run.stop.load()) {
      const std::size_t index = run.next.fetch_add(1);
      if (index >= run.tasks.size()) break;
      if (index + count < run.tasks.size()) {
        for_each_extent(run.tasks[index + count], [&](const Range& e) { job.files[e.file]->read_ahead(e.offset, e.size); });
      }
      try {
        status = worker.perform(index);
      } catch (const std::bad_alloc&) {
        status = failure(Code::no_memory, "no memory");
      }
      for_each_extent(run.tasks[index], [&](const Range& e) { job.files[e.file]->release(e.offset, e.size, window, window, options.drop_cache); });
      if (!status.ok() || !(options.flush_behind || options.drop_cache)) continue;
      const QuantTask& task = run.tasks[index];
      for (std::size_t k = 0; k < outputs; ++k) {
        const std::size_t at = task.strip * outputs + k;
        if (job.out_offset[at] < 0 || run.figures[index * outputs + k].crc_length == 0) continue;
        const std::uint64_t before = encoded_bytes(job.out_encoding[at], task.first * job.cols[task.strip]);
        engine.write_back().written(job.outputs[k], static_cast<std::uint64_t>(job.out_offset[at]) + before, run.figures[index * outputs + k].crc_length);
      }
    }
    const std::lock_guard<std::mutex> lock(ending);
    if (!status.ok() && !run.stop.exchange(true)) first_failure = status;
    worker.report(result);
  };
  {
    std::vector<Thread> threads;
    for (std::size_t i = 0; i < count; ++i) {
      Thread thread;
      const int error = thread.start(work);
      if (error != 0 && i == 0) return system_failure("pthread_create", error, "cannot start a thread");
      if (error != 0) break;
      threads.push_back(std::move(thread));
    }
  }
  if (!first_failure.ok()) return first_failure;
  result->figures.assign(job.strips * outputs, {});
  for (std::size_t i = 0; i < run.tasks.size(); ++i) {
    for (std::size_t k = 0; k < outputs; ++k) {
      const QuantFigures& part = run.figures[i * outputs + k];
      QuantFigures& sum = result->figures[run.tasks[i].strip * outputs + k];
      sum.crc = crc32c_combine(sum.crc, part.crc, part.crc_length);
      sum.scale_crc = crc32c_combine(sum.scale_crc, part.scale_crc, part.scale_length);
      sum.amax = std::max(sum.amax, part.amax);
      sum.error += part.error;
      sum.change += part.change;
      sum.saturated += part.saturated;
      sum.identical = sum.identical && part.identical;
    }
  }
  return {};
}

}  // namespace ckpt
