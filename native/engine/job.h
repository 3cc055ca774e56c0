// What the jobs of all operations on segments have (the C++ side of src/merge/native): S segments, N inputs,
// K outputs. A job that writes nothing has no outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "../io/input.h"
#include "../io/output.h"
#include "../io/status.h"
#include "boxes.h"

namespace ckpt {

struct Job {
  std::vector<std::shared_ptr<Input>> files;
  std::vector<std::shared_ptr<Output>> outputs;   // [K]
  std::size_t segments = 0;
  std::size_t inputs = 0;
  std::vector<std::uint64_t> count;               // [S] elements; bytes for a copied segment
  std::vector<std::int32_t> file;                 // [S x N] index into files, -1 = no part
  std::vector<std::uint64_t> offset;              // [S x N] bytes
  Boxes boxes;                                    // inputs that have some do not lie at `file` and `offset`
  std::vector<std::uint8_t> dtype;                // [S x N]
  std::vector<std::uint64_t> out_offset;          // [S x K] bytes
  std::vector<std::uint8_t> out_dtype;            // [S x K]
  const std::int32_t* cancel = nullptr;           // shared flag, may be null

  virtual ~Job() = default;

  // The member whose bytes every output gets; -1 where a segment is computed.
  virtual int copied(std::size_t /* segment */) const { return -1; }
  // Whether member n is read for a segment.
  virtual bool reads(std::size_t /* segment */, std::size_t /* n */) const { return true; }

  // Bytes of one element of a segment in output k.
  std::size_t out_size(std::size_t segment, std::size_t k) const;
  // Bytes of one element of a segment in member n.
  std::size_t in_size(std::size_t segment, std::size_t n) const;
  bool cancelled() const { return cancel != nullptr && __atomic_load_n(cancel, __ATOMIC_RELAXED) != 0; }
};

// Everything that TypeScript has promised, checked again: a wrong number here would be a wild read. Each
// operation checks what is its own, and by these the columns above: first their lengths, then each segment.
Status validate_lengths(const Job& job);
Status validate_inputs(const Job& job, std::size_t segment);
Status validate_outputs(const Job& job, std::size_t segment);
// Code::invalid_arg, of a segment.
Status invalid(const char* message, std::size_t segment);

// Why an input can no longer be trusted: a page of its mapping was lost (and read as zeros), on whichever
// thread. `segment` is where it was noticed.
Status poisoned(const Job& job, std::size_t segment);

// The mappings of a job's files, for FaultGuard.
void list_mappings(const Job& job, std::vector<Mapping*>* mappings);

}  // namespace ckpt
