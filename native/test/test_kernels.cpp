// Every kernel of every available instruction set against a plain loop, flush-to-zero set by somebody else,
// and the fused kernels.
#include <cmath>
#include <cstring>
#include <limits>

#include "../engine/dtype.h"
#include "../engine/float_env.h"
#include "../kernels/scalar_convert.h"
#include "fixture.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace ckpt;
using namespace ckpt_test;

namespace {

double load(int code, const void* base, std::size_t i) {
  switch (code) {
    case kBF16: return load_element<kBF16>(base, i);
    case kF16: return load_element<kF16>(base, i);
    case kF32: return load_element<kF32>(base, i);
    default: return load_element<kF64>(base, i);
  }
}

bool store(int code, void* base, std::size_t i, double value) {
  switch (code) {
    case kBF16: return store_element<kBF16>(base, i, value);
    case kF16: return store_element<kF16>(base, i, value);
    case kF32: return store_element<kF32>(base, i, value);
    default: return store_element<kF64>(base, i, value);
  }
}

// Elements of ordinary and denormal size; every 97th of any bit pattern when `wild`.
std::vector<std::uint8_t> elements(int code, std::size_t count, std::uint32_t seed, bool wild) {
  std::mt19937 random(seed);
  const std::size_t size = float_size(static_cast<std::uint8_t>(code));
  std::vector<std::uint8_t> bytes(count * size + 1);  // starts at an odd address
  for (std::size_t i = 0; i < count; ++i) {
    const double magnitude = std::ldexp(1.0 + static_cast<double>(random()) / 4294967296.0, static_cast<int>(random() % 40) - 30);
    store(code, bytes.data() + 1, i, random() % 2 == 0 ? magnitude : -magnitude);
    // denormal or tiny
    if (random() % 5 == 0) std::memset(bytes.data() + 1 + i * size + size - 1, 0, 1), bytes[1 + i * size + size - 2] &= 0x7;
    if (wild && i % 97 == 0) {
      for (std::size_t b = 0; b < size; ++b) bytes[1 + i * size + b] = static_cast<std::uint8_t>(random());
    }
  }
  return bytes;
}

void compare(const Isa& isa, int in, int out, std::size_t outputs, std::size_t count, bool wild, bool exact, std::size_t inputs) {
  const std::size_t size = float_size(static_cast<std::uint8_t>(out));
  std::vector<std::vector<std::uint8_t>> data;
  std::vector<const void*> from;
  std::vector<double> weights;
  for (std::size_t n = 0; n < inputs; ++n) data.push_back(elements(in, count, static_cast<std::uint32_t>(n + count), wild));
  for (const auto& bytes : data) from.push_back(bytes.data() + 1);
  for (std::size_t k = 0; k < outputs; ++k) {
    for (std::size_t n = 0; n < inputs; ++n) {
      const double weight = exact ? 0.25 * static_cast<double>(n + k) - 0.125 : 0.1 * static_cast<double>(n + 1) - 0.07 * static_cast<double>(k);
      weights.push_back(outputs > 1 && (n + k) % 3 == 1 ? 0 : weight);
    }
  }
  std::vector<std::vector<std::uint8_t>> got(outputs, std::vector<std::uint8_t>(count * size + 1));
  std::vector<std::uint8_t> want(count * size + 1);
  std::vector<void*> to;
  for (auto& bytes : got) to.push_back(bytes.data() + 1);
  const Block block{from.data(), weights.data(), to.data(), inputs, count};
  const auto kernel = (exact ? isa.table->combine_exact : isa.table->combine)[in][out][outputs - 1];
  const bool nonfinite = kernel(block);
  const std::string where = std::string(isa.name) + " " + std::to_string(in) + "->" + std::to_string(out) + " x" + std::to_string(outputs) + " n " +
                            std::to_string(count) + (exact ? " exact" : "");
  bool finite = true;
  for (std::size_t k = 0; k < outputs; ++k) {
    for (std::size_t i = 0; i < count; ++i) {
      double sum = 0;
      bool first = true;
      for (std::size_t n = 0; n < inputs; ++n) {
        const double weight = weights[k * inputs + n];
        if (weight == 0) continue;
        const double product = weight * load(in, from[n], i);
        sum = first ? product : sum + product;
        first = false;
      }
      finite = store(out, want.data(), i, sum) && finite;
    }
    if (finite) CHECK_THAT(std::memcmp(want.data(), got[k].data() + 1, count * size) == 0, where);
  }
  CHECK_THAT(nonfinite == !finite, where);
}

void all_pairs(const Isa& isa) {
  for (int in = 0; in < kFloatCodes; ++in) {
    for (int out = 0; out < kFloatCodes; ++out) {
      for (std::size_t outputs = 1; outputs <= kMaxGroup; ++outputs) {
        for (const std::size_t count : std::initializer_list<std::size_t>{0, 1, 7, 8, 15, 16, 31, 32, 33, 64, 200}) {
          compare(isa, in, out, outputs, count, false, false, 5);
          compare(isa, in, out, outputs, count, true, false, 3);
          if (in != kF64) compare(isa, in, out, outputs, count, false, true, 4);
        }
      }
    }
    const auto bytes = elements(in, 100, 3, true);
    std::vector<double> wide(100);
    isa.table->widen[in](bytes.data() + 1, wide.data(), 100);
    for (std::size_t i = 0; i < 100; ++i) {
      const double want = load(in, bytes.data() + 1, i);
      CHECK(std::isnan(want) ? std::isnan(wide[i]) : std::memcmp(&want, &wide[i], sizeof want) == 0);
    }
  }
}

// A single overflow or NaN anywhere in the block must be noticed, whatever lane it is in.
void notices_every_lane(const Isa& isa) {
  constexpr std::size_t kCount = 100;
  const double bad[] = {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                        std::numeric_limits<double>::quiet_NaN(), 3.4e38, -3.4e38};
  for (int in = 0; in < kFloatCodes; ++in) {
    for (int out = 0; out < kFloatCodes; ++out) {
      for (std::size_t at = 0; at < kCount; ++at) {
        for (const double value : bad) {
          std::vector<std::uint8_t> bytes(kCount * 8);
          for (std::size_t i = 0; i < kCount; ++i) store(in, bytes.data(), i, i == at ? value : 1.5);
          std::vector<std::uint8_t> got(kCount * 8);
          const void* from = bytes.data();
          void* to = got.data();
          const double weight = 2;
          std::vector<std::uint8_t> scratch(8);
          const bool finite = store(out, scratch.data(), 0, 2 * load(in, bytes.data(), at));
          CHECK_THAT(isa.table->combine[in][out][0]({&from, &weight, &to, 1, kCount}) == !finite, isa.name);
        }
      }
    }
  }
}

// A host that flushes denormals must not change a byte: the tile's own environment decides.
void keeps_denormals(const Isa& isa) {
#if defined(__x86_64__)
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);  // flush to zero, denormals are zero
#elif defined(__aarch64__)
  std::uint64_t before = 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, %0" : : "r"(before | (std::uint64_t{1} << 24)));  // flush to zero
#endif
  {
    const DefaultFloatEnv environment;
    for (int in = 0; in < kFloatCodes; ++in) {
      // The least denormal; a F64 one is taken as F32's, since the F32 step of the promise would round
      // smaller ones to zero.
      const double least = in == kBF16 ? 0x1p-133 : in == kF16 ? 0x1p-24 : 0x1p-149;
      std::vector<std::uint8_t> bytes(64 * 8);
      for (std::size_t i = 0; i < 64; ++i) store(in, bytes.data(), i, i % 2 == 0 ? least : -least);
      std::vector<std::uint8_t> got(64 * 8);
      const void* from = bytes.data();
      void* to = got.data();
      const double weight = 1;
      isa.table->combine[in][in][0]({&from, &weight, &to, 1, 64});
      CHECK_THAT(std::memcmp(bytes.data(), got.data(), 64 * float_size(static_cast<std::uint8_t>(in))) == 0, isa.name);
    }
  }
#if defined(__x86_64__)
  CHECK((_mm_getcsr() & 0x8040) == 0x8040);
  _mm_setcsr(before);
#elif defined(__aarch64__)
  std::uint64_t after = 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(after));
  CHECK((after & (std::uint64_t{1} << 24)) != 0);
  __asm__ volatile("msr fpcr, %0" : : "r"(before));
#endif
}

}  // namespace

int main() {
  for (const Isa& isa : compiled_isas()) {
    if (!isa.available) {
      std::printf("%s: not available on this CPU\n", isa.name);
      continue;
    }
    all_pairs(isa);
    notices_every_lane(isa);
    keeps_denormals(isa);
  }
  return finish("kernels");
}
