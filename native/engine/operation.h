// The seam between the engine and its operations: what the thread pool asks of whatever computes a call.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <typeindex>
#include <vector>

#include "../kernels/kernel_table.h"
#include "chunks.h"
#include "job.h"
#include "shape.h"

namespace ckpt {

// What a call wrote, of a chunk or of the whole: R ranges in file order, each without a gap in any output.
struct Written {
  std::vector<std::uint64_t> offset;  // [R x K] in the file
  std::vector<std::uint64_t> length;  // [R x K]
  std::vector<std::uint32_t> crc;     // [R x K] of the bytes

  // Makes room for a range that begins at these offsets [K], unless the last one goes on there. Its row.
  std::size_t range_at(const std::uint64_t* offsets, std::size_t outputs) {
    bool follows = !offset.empty();
    const std::size_t last = follows ? offset.size() - outputs : 0;
    for (std::size_t k = 0; k < outputs && follows; ++k) follows = offset[last + k] + length[last + k] == offsets[k];
    if (follows) return last;
    offset.insert(offset.end(), offsets, offsets + outputs);
    length.resize(offset.size());
    crc.resize(offset.size());
    return offset.size() - outputs;
  }
};

// What a thread adds up.
struct Tally {
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_written = 0;
  double compute_seconds = 0;
  double write_seconds = 0;

  void add(const Tally& other) {
    bytes_read += other.bytes_read;
    bytes_written += other.bytes_written;
    compute_seconds += other.compute_seconds;
    write_seconds += other.write_seconds;
  }
};

// What a thread keeps from call to call: one runner of each kind that it needed, with its buffers.
class Workspace {
 public:
  Workspace(const KernelTable& kernels, const EngineShape& shape) : kernels_(kernels), shape_(shape) {}

  // A Runner is made from the kernels and the shape.
  template <typename Runner>
  Runner& get() {
    std::shared_ptr<void>& slot = runners_[std::type_index(typeid(Runner))];
    if (slot == nullptr) slot = std::make_shared<Runner>(kernels_, shape_);
    return *static_cast<Runner*>(slot.get());
  }

 private:
  const KernelTable& kernels_;
  const EngineShape& shape_;
  std::map<std::type_index, std::shared_ptr<void>> runners_;
};

// A chunk on a thread.
struct ChunkWork {
  const ChunkPlan& plan;
  std::size_t index;                   // of the chunk
  const std::uint8_t* const* loaded;   // [N] data of each member in mode read, in the order of the pieces
  const std::atomic<bool>& stop;       // set when the call has failed elsewhere
  const Chunk& chunk() const { return plan.chunks[index]; }
};

// One operation at work on one job. `run` is called by many threads at once, each with another chunk.
class Operation {
 public:
  virtual ~Operation() = default;

  virtual const Job& job() const = 0;
  // See job.h. Nothing else is called where it fails.
  virtual Status validate() const = 0;
  // How its job may be cut into chunks.
  virtual ChunkRules rules() const { return {}; }
  // Called once before the chunks, when their number is known.
  virtual void begin(const ChunkPlan& plan) = 0;
  // Computes a chunk. It ends early when `stop` is set or the job cancelled. Where it writes, `written` says
  // what, in the order of the file.
  virtual Status run(const ChunkWork& work, Workspace& workspace, Written* written, Tally* tally) = 0;
};

}  // namespace ckpt
