// What this CPU and operating system can run. Compiled without instruction-set flags.
#pragma once

namespace ckpt {

struct CpuFeatures {
  bool avx2 = false;       // with F16C and saved ymm state
  bool avx512 = false;     // F, BW, DQ, VL with saved zmm state
  bool neon = false;
  bool crc32 = false;      // SSE4.2's or Arm's CRC32C instruction
  bool vpclmulqdq = false; // carry-less multiply of zmm registers
};

CpuFeatures detect_cpu() noexcept;

}  // namespace ckpt
