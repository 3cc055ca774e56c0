#include "dispatch.h"

#include "features.h"

namespace ckpt {

namespace kernels_scalar {
extern const KernelTable table;
}
#if defined(CKPT_HAVE_AVX2)
namespace kernels_avx2 {
extern const KernelTable table;
}
#endif
#if defined(CKPT_HAVE_AVX512)
namespace kernels_avx512 {
extern const KernelTable table;
}
#endif
#if defined(CKPT_HAVE_NEON)
namespace kernels_neon {
extern const KernelTable table;
}
#endif

const std::vector<Isa>& compiled_isas() {
  // Never destroyed: worker threads may still run while the process exits.
  static const auto* const list = [] {
    const CpuFeatures cpu = detect_cpu();
    auto* isas = new std::vector<Isa>{{"scalar", &kernels_scalar::table, true}};
#if defined(CKPT_HAVE_AVX2)
    isas->push_back({"avx2", &kernels_avx2::table, cpu.avx2});
#endif
#if defined(CKPT_HAVE_AVX512)
    isas->push_back({"avx512", &kernels_avx512::table, cpu.avx512});
#endif
#if defined(CKPT_HAVE_NEON)
    isas->push_back({"neon", &kernels_neon::table, cpu.neon});
#endif
    static_cast<void>(cpu);
    return isas;
  }();
  return *list;
}

const Isa* find_isa(const std::string& name) {
  for (const Isa& isa : compiled_isas()) {
    if (isa.available && name == isa.name) return &isa;
  }
  return nullptr;
}

const Isa* choose_isa(const char* forced, std::string* why) {
  if (forced != nullptr && *forced != '\0') {
    const Isa* isa = find_isa(forced);
    if (isa == nullptr) {
      *why = std::string("CKPT_MERGE_ISA is '") + forced + "', which is not available here; available:";
      for (const Isa& each : compiled_isas()) {
        if (each.available) *why += std::string(" ") + each.name;
      }
    }
    return isa;
  }
  const Isa* best = nullptr;
  for (const Isa& isa : compiled_isas()) {
    if (isa.available) best = &isa;
  }
  return best;
}

}  // namespace ckpt
