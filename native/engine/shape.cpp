#include "shape.h"

#include <algorithm>

#include "../kernels/kernel_table.h"

namespace ckpt {
namespace {

constexpr std::size_t kDefaultTile = std::size_t{256} << 10;
constexpr std::size_t kLeastTile = std::size_t{64} << 10;
constexpr std::size_t kDefaultRequest = std::size_t{1} << 20;
constexpr std::size_t kLeastRequest = std::size_t{64} << 10;
constexpr std::size_t kDefaultInFlight = 32;

// A tile of an input that lies in boxes; enough for whole vectors however small tiles are.
std::size_t gather_bytes(const EngineOptions& options, std::size_t tile) { return options.gathers ? std::max(tile, kLeastTile) : 0; }

std::uint64_t buffers_per_thread(const EngineOptions& options, std::size_t tile) {
  const std::uint64_t scratch = std::uint64_t{8} * (options.max_inputs + kMaxGroup) * mixed_block_elements(options.max_inputs);
  return std::uint64_t{options.max_outputs} * tile + std::uint64_t{options.max_inputs} * gather_bytes(options, tile) + scratch;
}

// Request size and slots for the memory that is left beside the tiles. False where not even one smallest
// chunk fits.
bool fit_requests(const EngineOptions& options, std::uint64_t left, EngineShape* shape) {
  const std::uint64_t in_flight = shape->requests_in_flight;
  // A slot holds one request per input. Enough to keep all requests in flight while each thread computes on a
  // slot of its own.
  const std::uint64_t wanted = (in_flight + options.max_inputs - 1) / options.max_inputs + shape->threads;
  const std::size_t most = options.request_bytes == 0 ? kDefaultRequest : options.request_bytes;
  const std::size_t least = std::min(most, kLeastRequest);
  for (std::size_t request = most;; request = std::max(least, request / 2)) {
    const std::uint64_t slots = std::min(wanted, left / (std::uint64_t{request} * options.max_inputs));
    if (slots == wanted || (request == least && slots >= 1)) {
      shape->request_bytes = request;
      shape->slots = static_cast<std::size_t>(slots);
      return true;
    }
    if (request == least) return false;
  }
}

}  // namespace

std::size_t mixed_block_elements(std::size_t inputs) {
  // About 128 KiB of float64 whatever the number of inputs, in whole vector steps.
  return std::clamp<std::size_t>(16384 / std::max<std::size_t>(inputs, 1) / 64 * 64, 64, 512);
}

Status fit_shape(const EngineOptions& options, EngineShape* shape) {
  if (options.threads == 0 || options.max_inputs == 0 || options.max_outputs == 0) {
    return failure(Code::invalid_arg, "an engine needs a thread, an input and an output");
  }
  if (options.tile_bytes != 0 && options.tile_bytes < sizeof(double)) return failure(Code::invalid_arg, "a tile holds at least one element");
  if (options.request_bytes != 0 && options.request_bytes < sizeof(double)) {
    return failure(Code::invalid_arg, "a request reads at least one element");
  }
  const std::size_t first_tile = options.tile_bytes == 0 ? kDefaultTile : options.tile_bytes;
  const std::size_t last_tile = options.tile_bytes == 0 ? kLeastTile : options.tile_bytes;
  for (std::size_t threads = options.threads; threads >= 1; --threads) {
    for (std::size_t tile = first_tile; tile >= last_tile; tile /= 2) {
      *shape = {};
      shape->threads = threads;
      shape->tile_bytes = tile;
      shape->gather_bytes = gather_bytes(options, tile);
      const std::uint64_t tiles = threads * buffers_per_thread(options, tile);
      if (tiles > options.memory_bytes) continue;
      shape->buffer_bytes = tiles;
      if (!options.reads) return {};
      shape->requests_in_flight = options.requests_in_flight == 0 ? std::max(kDefaultInFlight, threads) : options.requests_in_flight;
      if (!fit_requests(options, options.memory_bytes - tiles, shape)) continue;
      shape->buffer_bytes += std::uint64_t{shape->slots} * shape->request_bytes * options.max_inputs;
      return {};
    }
  }
  return failure(Code::no_memory, "not even one thread with the smallest tiles fits in the memory allowed");
}

}  // namespace ckpt
