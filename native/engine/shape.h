// How many threads and how large the buffers: what fits in the memory that the caller allows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../io/status.h"

namespace ckpt {

struct EngineOptions {
  std::size_t threads = 1;
  std::uint64_t memory_bytes = std::uint64_t{256} << 20;
  std::size_t max_inputs = 1;
  std::size_t max_outputs = 1;
  bool reads = false;
  bool gathers = false;
  std::size_t tile_bytes = 0;          // 0 = default
  std::size_t request_bytes = 0;       // 0 = default
  std::size_t requests_in_flight = 0;  // 0 = default
  bool drop_cache = false;
  bool flush_behind = false;
  std::uint64_t read_delay_micros = 0;
};

struct EngineShape {
  std::size_t threads = 1;
  std::size_t tile_bytes = 0;
  std::size_t gather_bytes = 0;        // of each input on each thread, where some lie in boxes; 64 KiB at least
  std::size_t request_bytes = 0;
  std::size_t requests_in_flight = 0;
  std::size_t slots = 0;               // chunks whose inputs are being read, are ready or are being computed
  std::uint64_t buffer_bytes = 0;      // all that this shape can allocate
};

// Elements of a block when values pass through float64 in memory: inputs of different dtypes, FP8 inputs and
// outputs.
std::size_t mixed_block_elements(std::size_t inputs);

// Shrinks read requests, then tiles, then the number of threads, until everything fits. Code::no_memory when
// nothing does.
Status fit_shape(const EngineOptions& options, EngineShape* shape);

}  // namespace ckpt
