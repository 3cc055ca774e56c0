// The thread pool: computes chunks of the calls in flight, oldest call first, so that two overlapping calls
// leave no thread idle between them. Inputs in mode read are loaded ahead by threads of their own into a
// bounded set of slots.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "../io/buffer.h"
#include "../io/thread.h"
#include "../io/write_back.h"
#include "operation.h"

namespace ckpt {

// Used bytes of a mapped file that wait to be given back: of all files together at most `kMost`, unless there
// are many. (Giving back interrupts every thread, and pages of 2 MiB are given back whole.)
inline std::uint64_t used_window(std::size_t inputs, std::size_t files) {
  constexpr std::uint64_t kMost = std::uint64_t{128} << 20;
  constexpr std::uint64_t kLeast = std::uint64_t{4} << 20;
  return std::max(kLeast, kMost / std::max({std::size_t{1}, inputs, files}));
}

// What every call has to say of itself.
struct CallResult {
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_written = 0;
  double read_seconds = 0;
  double compute_seconds = 0;
  double write_seconds = 0;
  Written written;
};

class Engine {
 public:
  static Status create(const EngineOptions& options, const KernelTable& kernels, std::shared_ptr<Engine>* created);
  // Joins the threads. No call may be running.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const EngineShape& shape() const { return shape_; }

  // Runs an operation to its end on the pool; blocks the calling thread. Several threads may call at once.
  Status run(Operation& operation, CallResult* result);

  // For an operation that is not one of segments and brings threads of its own (ops/requantise): what it
  // shares with the others, and the right to go ahead, which one has at a time.
  const EngineOptions& options() const { return options_; }
  const KernelTable& kernels() const { return kernels_; }
  WriteBack& write_back() { return write_back_; }
  std::unique_lock<std::mutex> take_turn() { return std::unique_lock<std::mutex>(turn_); }

 private:
  // One read: part of a range into a slot.
  struct Request {
    Range range;
    std::uint8_t* to;
  };
  // The requests of a chunk, one after the other: narrow boxes make far too many for a list.
  class Requests {
   public:
    Requests() = default;
    // Each member's data go to `slot`, `stride` bytes after those of the member before, in the order of the
    // pieces. Ranges of mapped files keep their place and are not read.
    Requests(const Job& job, const ChunkPlan& plan, const Chunk& chunk, std::uint8_t* slot, std::size_t stride);
    bool done() const { return !upcoming_; }
    Request take();

   private:
    void advance();
    const Job* job_ = nullptr;
    const Piece* first_ = nullptr;
    const Piece* past_ = nullptr;
    std::uint8_t* slot_ = nullptr;
    std::size_t stride_ = 0;
    std::size_t n_ = 0;
    std::optional<RangeWalk> ranges_;  // of member n
    std::uint8_t* to_ = nullptr;
    std::optional<Request> upcoming_;
  };
  // A chunk whose inputs are in a slot, or on their way there.
  struct Loading {
    std::size_t chunk = 0;
    Buffer* slot = nullptr;
    Requests requests;
    std::size_t outstanding = 0;
    std::vector<const std::uint8_t*> loaded;  // [N]
  };
  struct Call {
    Operation* operation = nullptr;
    const Job* job = nullptr;
    ChunkPlan plan;
    bool reads = false;
    std::vector<Written> written;  // [chunks]
    Tally tally;
    double read_seconds = 0;
    Status status;
    std::atomic<bool> stop{false};
    std::size_t next = 0;    // first chunk that nobody has taken
    std::size_t active = 0;  // chunks taken and not finished
    std::list<Loading> loading;
    std::list<Loading> ready;
    std::condition_variable done;
    bool finished() const { return active == 0 && (stop.load() || next == plan.chunks.size()); }
  };

  Engine(const EngineOptions& options, const KernelTable& kernels) : options_(options), kernels_(kernels) {}
  Status start();
  int start_threads(std::size_t* count, void (Engine::*loop)());

  void compute_loop();
  bool take_chunk(std::unique_lock<std::mutex>& lock, Workspace& workspace);
  void finish_chunk(Call& call, const Status& status);
  void read_ahead(const Call& call, std::size_t chunk) const;
  void release_inputs(const Job& job, const ChunkPlan& plan, const Chunk& chunk) const;
  void release_boxes(const Job& job, const Piece& piece, std::size_t n) const;

  void read_loop();
  bool take_request(std::unique_lock<std::mutex>& lock);
  bool begin_loading(Call& call);
  void perform(std::unique_lock<std::mutex>& lock, Call& call, std::list<Loading>::iterator loading);
  void give_back_slot(Loading& loading);

  void fail(Call& call, const Status& status);

  const EngineOptions options_;
  const KernelTable& kernels_;
  EngineShape shape_;
  WriteBack write_back_;
  std::mutex mutex_;
  std::condition_variable compute_;
  std::condition_variable read_;
  bool closing_ = false;
  std::list<Call*> calls_;            // oldest first
  std::deque<Buffer> slots_;
  std::vector<Buffer*> free_slots_;
  std::vector<Thread> threads_;
  std::mutex turn_;
};

}  // namespace ckpt
