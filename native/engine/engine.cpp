#include "engine.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "../io/crc32c.h"
#include "../io/fault_guard.h"

namespace ckpt {
namespace {

// A chunk is this many tiles, so that claiming it costs nothing; fewer where the part of mapped inputs that
// is in use (threads x inputs x chunk) would exceed the bound.
constexpr std::uint64_t kChunkTiles = 16;
constexpr std::uint64_t kMostInUse = std::uint64_t{256} << 20;
// How often the waiting caller looks at the cancel flag, which no one signals.
constexpr auto kCancelPoll = std::chrono::milliseconds(20);

// Appends what a chunk wrote to what those before it did.
void join(const Written& chunk, std::size_t outputs, Written* all) {
  for (std::size_t from = 0; from < chunk.offset.size(); from += outputs) {
    const std::size_t to = all->range_at(&chunk.offset[from], outputs);
    for (std::size_t k = 0; k < outputs; ++k) {
      all->crc[to + k] = crc32c_combine(all->crc[to + k], chunk.crc[from + k], chunk.length[from + k]);
      all->length[to + k] += chunk.length[from + k];
    }
  }
}

Status error_of_thread(int error) { return system_failure("pthread_create", error, "cannot start a thread"); }

}  // namespace

Status Engine::create(const EngineOptions& options, const KernelTable& kernels, std::shared_ptr<Engine>* created) {
  std::shared_ptr<Engine> engine(new Engine(options, kernels));
  Status status = fit_shape(options, &engine->shape_);
  if (status.ok()) status = engine->start();
  if (status.ok()) *created = std::move(engine);
  return status;
}

Status Engine::start() {
  write_back_.configure(options_.flush_behind || options_.drop_cache, options_.drop_cache);
  slots_.resize(shape_.slots);
  for (Buffer& slot : slots_) free_slots_.push_back(&slot);
  // A process limit may allow only some of the threads: one of each kind is enough.
  if (const int error = start_threads(&shape_.threads, &Engine::compute_loop)) return error_of_thread(error);
  if (!options_.reads) return {};
  if (const int error = start_threads(&shape_.requests_in_flight, &Engine::read_loop)) return error_of_thread(error);
  return {};
}

// Starts up to `*count` threads and says in it how many started. 0, or errno where not even one did.
int Engine::start_threads(std::size_t* count, void (Engine::*loop)()) {
  for (std::size_t i = 0; i < *count; ++i) {
    Thread thread;
    const int error = thread.start([this, loop] { (this->*loop)(); });
    if (error != 0) {
      *count = i;
      return i == 0 ? error : 0;
    }
    threads_.push_back(std::move(thread));
  }
  return 0;
}

Engine::~Engine() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  compute_.notify_all();
  read_.notify_all();
  for (Thread& thread : threads_) thread.join();
}

Status Engine::run(Operation& operation, CallResult* result) {
  Status status = operation.validate();
  if (!status.ok()) return status;
  const Job& job = operation.job();
  if (job.outputs.size() > options_.max_outputs || job.inputs > options_.max_inputs) {
    return failure(Code::invalid_arg, "the job is wider than the engine was made for");
  }
  Call call;
  call.operation = &operation;
  call.job = &job;
  for (const auto& file : job.files) call.reads = call.reads || file->mode() == InputMode::read;
  if (call.reads && !options_.reads) return failure(Code::invalid_arg, "the engine was made without reads");
  if (!job.boxes.empty() && !options_.gathers) return failure(Code::invalid_arg, "the engine was made without gathers");
  const ChunkRules rules = operation.rules();
  if (call.reads && shape_.request_bytes < rules.least) return failure(Code::invalid_arg, "requests are smaller than the least chunk");
  if (options_.drop_cache) {
    for (const auto& file : job.files) file->remember_residency();
  }
  const std::uint64_t tile = shape_.tile_bytes;
  const std::uint64_t in_use = kMostInUse / (shape_.threads * std::max<std::size_t>(job.inputs, 1));
  std::uint64_t most = std::max(rules.least, std::clamp(in_use / tile * tile, tile, kChunkTiles * tile));
  if (call.reads) most = std::min<std::uint64_t>(most, shape_.request_bytes);
  call.plan = plan_chunks(job, shape_.threads, rules.grain, std::min(std::max(tile, rules.least), most), most);
  call.written.resize(call.plan.chunks.size());
  operation.begin(call.plan);
  // An earlier call may still be running: its end need not wait for the device.
  for (std::size_t chunk = 0; chunk < shape_.threads && !call.reads; ++chunk) read_ahead(call, chunk);
  {
    std::unique_lock<std::mutex> lock(mutex_);
    calls_.push_back(&call);
    compute_.notify_all();
    read_.notify_all();
    while (!call.finished()) {
      call.done.wait_for(lock, kCancelPoll);
      if (job.cancelled()) fail(call, failure(Code::cancelled, "cancelled"));
    }
    calls_.remove(&call);
  }
  if (!call.status.ok()) return call.status;
  for (const Written& chunk : call.written) join(chunk, job.outputs.size(), &result->written);
  result->bytes_read = call.tally.bytes_read;
  result->bytes_written = call.tally.bytes_written;
  result->read_seconds = call.read_seconds;
  result->compute_seconds = call.tally.compute_seconds;
  result->write_seconds = call.tally.write_seconds;
  return {};
}

// The first failure counts. Chunks that nobody computes yet are given up; those under way end by themselves.
void Engine::fail(Call& call, const Status& status) {
  if (!call.stop.load()) call.status = status;
  call.stop.store(true);
  for (Loading& loading : call.ready) {
    give_back_slot(loading);
    --call.active;
  }
  call.ready.clear();
  for (auto loading = call.loading.begin(); loading != call.loading.end();) {
    if (loading->outstanding != 0) {
      ++loading;
      continue;
    }
    give_back_slot(*loading);
    --call.active;
    loading = call.loading.erase(loading);
  }
  if (call.finished()) call.done.notify_all();
}

void Engine::compute_loop() {
  prepare_thread_for_faults();
  Workspace workspace(kernels_, shape_);
  std::unique_lock<std::mutex> lock(mutex_);
  while (!closing_) {
    if (!take_chunk(lock, workspace)) compute_.wait(lock);
  }
}

// Computes one chunk of the oldest call that has one; false where none has. The lock is released meanwhile.
bool Engine::take_chunk(std::unique_lock<std::mutex>& lock, Workspace& workspace) {
  for (Call* call : calls_) {
    if (call->stop.load()) continue;
    Loading own;
    if (call->reads) {
      if (call->ready.empty()) continue;
      own = std::move(call->ready.front());
      call->ready.pop_front();
    } else {
      if (call->next == call->plan.chunks.size()) continue;
      own.chunk = call->next++;
      own.loaded.assign(call->job->inputs, nullptr);
      ++call->active;
    }
    lock.unlock();
    if (!call->reads) read_ahead(*call, own.chunk + shape_.threads);
    const Job& job = *call->job;
    const Chunk& chunk = call->plan.chunks[own.chunk];
    Written& written = call->written[own.chunk];
    Tally tally;
    Status status;
    try {
      status = call->operation->run({call->plan, own.chunk, own.loaded.data(), call->stop}, workspace, &written, &tally);
      release_inputs(job, call->plan, chunk);
      if (status.ok() && (options_.flush_behind || options_.drop_cache)) {
        for (std::size_t i = 0; i < written.offset.size(); ++i) {
          write_back_.written(job.outputs[i % job.outputs.size()], written.offset[i], written.length[i]);
        }
      }
    } catch (const std::bad_alloc&) {
      status = failure(Code::no_memory, "no memory");
    }
    lock.lock();
    if (own.slot != nullptr) give_back_slot(own);
    call->tally.add(tally);
    finish_chunk(*call, status);
    return true;
  }
  return false;
}

void Engine::finish_chunk(Call& call, const Status& status) {
  --call.active;
  if (!status.ok()) fail(call, status);
  if (call.finished()) call.done.notify_all();
}

// Has mapped inputs read before they are touched: a thread that faults waits for one small read at a time.
void Engine::read_ahead(const Call& call, std::size_t chunk) const {
  if (chunk >= call.plan.chunks.size()) return;
  const Job& job = *call.job;
  const Piece* first = call.plan.begin(call.plan.chunks[chunk]);
  const Piece* past = call.plan.end(call.plan.chunks[chunk]);
  for (std::size_t n = 0; n < job.inputs; ++n) {
    RangeWalk ranges(job, first, past, n, RangeWalk::Gaps::loose);
    for (Range range; ranges.next(&range);) job.files[range.file]->read_ahead(range.offset, range.size);
  }
}

// The window is shared among files: of an input of several ranks each file is at work at once.
void Engine::release_inputs(const Job& job, const ChunkPlan& plan, const Chunk& chunk) const {
  const std::uint64_t window = used_window(job.inputs, job.files.size());
  const Piece* const past = plan.end(chunk);
  for (std::size_t n = 0; n < job.inputs; ++n) {
    const auto in_boxes = [&](const Piece& piece) { return job.reads(piece.segment, n) && job.boxes.hold(piece.segment * job.inputs + n); };
    for (const Piece* piece = plan.begin(chunk); piece != past;) {
      if (in_boxes(*piece)) {
        release_boxes(job, *piece++, n);
        continue;
      }
      const Piece* const next = std::find_if(piece, past, in_boxes);
      RangeWalk ranges(job, piece, next, n, RangeWalk::Gaps::loose);
      for (Range range; ranges.next(&range);) {
        // What other threads have in work lies no further.
        const std::uint64_t reach = std::max(window, range.size * shape_.threads);
        job.files[range.file]->release(range.offset, range.size, window, reach, options_.drop_cache);
      }
      piece = next;
    }
  }
}

// Boxes lie in many places of a file at once: what lies between two of them is not taken for used. Ranges of
// few pages wait for the end of the segment, when they have grown together.
void Engine::release_boxes(const Job& job, const Piece& piece, std::size_t n) const {
  constexpr std::uint64_t kFewPages = std::uint64_t{16} << 10;
  const std::uint64_t window = used_window(job.inputs, job.files.size());
  bool waiting = false;
  RangeWalk ranges(job, &piece, &piece + 1, n, RangeWalk::Gaps::loose);
  for (Range range; ranges.next(&range);) {
    // Pieces that other threads have in work lie no further.
    const std::uint64_t reach = std::min(window, range.size * shape_.threads);
    if (range.size < kFewPages) waiting = true;
    else job.files[range.file]->release(range.offset, range.size, window, reach, options_.drop_cache);
  }
  if (!waiting || piece.first + piece.count != job.count[piece.segment]) return;
  const Piece whole{piece.segment, 0, job.count[piece.segment]};
  RangeWalk all(job, &whole, &whole + 1, n, RangeWalk::Gaps::loose);
  for (Range range; all.next(&range);) job.files[range.file]->release(range.offset, range.size, 0, 0, options_.drop_cache);
}

}  // namespace ckpt
