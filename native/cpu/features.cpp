#include "features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace ckpt {

#if defined(__x86_64__)

namespace {

unsigned saved_state() noexcept {
  unsigned low = 0;
  unsigned high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

}  // namespace

CpuFeatures detect_cpu() noexcept {
  CpuFeatures found;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return found;
  found.crc32 = (c & bit_SSE4_2) != 0;
  const bool f16c = (c & bit_F16C) != 0;
  if ((c & bit_OSXSAVE) == 0) return found;
  const unsigned state = saved_state();
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return found;
  const unsigned wanted = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  found.avx2 = (b & bit_AVX2) != 0 && f16c && (state & 0x6) == 0x6;
  found.avx512 = found.avx2 && (b & wanted) == wanted && (state & 0xe6) == 0xe6;
  found.vpclmulqdq = found.avx512 && (c & bit_VPCLMULQDQ) != 0;
  return found;
}

#elif defined(__aarch64__)

CpuFeatures detect_cpu() noexcept {
  CpuFeatures found;
  found.neon = true;  // part of the architecture
#if defined(__linux__)
  constexpr unsigned long kHwcapCrc32 = 1ul << 7;
  found.crc32 = (getauxval(AT_HWCAP) & kHwcapCrc32) != 0;
#else
  found.crc32 = true;  // every Apple CPU has it
#endif
  return found;
}

#else

CpuFeatures detect_cpu() noexcept { return {}; }

#endif

}  // namespace ckpt
