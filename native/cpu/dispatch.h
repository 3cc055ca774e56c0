// Chooses the kernels at run time.
#pragma once

#include <string>
#include <vector>

#include "../kernels/kernel_table.h"

namespace ckpt {

struct Isa {
  const char* name;
  const KernelTable* table;
  bool available;  // on this CPU
};

// The instruction sets compiled in, slowest first.
const std::vector<Isa>& compiled_isas();

// The set of that name, or null where it is not compiled in or not available here.
const Isa* find_isa(const std::string& name);

// The best available set, or the one that `forced` names (CKPT_MERGE_ISA; null or empty: none). On an unknown
// or unavailable name returns null and sets `why`.
const Isa* choose_isa(const char* forced, std::string* why);

}  // namespace ckpt
