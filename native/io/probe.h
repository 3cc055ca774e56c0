// Measures the machine's own limits with the access patterns of the engine, so that benches can state ratios
// within one run.
#pragma once

#include <cstdint>
#include <string>

#include "input.h"
#include "status.h"

namespace ckpt {

struct ProbeResult {
  std::uint64_t bytes = 0;
  double seconds = 0;
};

// Reads all of a file with `threads` threads and consumes every byte: positioned reads of `request` bytes (0
// = 256 KiB), or a scan of a mapping.
Status probe_read(const std::string& path, InputMode mode, std::size_t threads, std::size_t request, ProbeResult* result);

// Writes a new, preallocated file of `bytes` with `threads` threads in writes of 1 MiB. Only the writes are
// timed. The file stays.
Status probe_write(const std::string& path, std::uint64_t bytes, std::size_t threads, ProbeResult* result);

}  // namespace ckpt
