// Requantising by the core alone: every instruction set gives the bytes and figures of the scalar one, in map
// and read mode and with any number of threads, for blocks of every kind, NaN and infinity among them.
#include <cmath>
#include <cstring>
#include <limits>

#include "../engine/dtype.h"
#include "../ops/requantise/requantise.h"
#include "fixture.h"

using namespace ckpt;
using namespace ckpt_test;

namespace {

struct Shape {
  std::uint64_t rows, cols, block_rows, block_cols;
  std::uint8_t encoding, scale_dtype;
};

constexpr std::size_t kMembers = 3;
constexpr std::size_t kOutputs = 3;

struct Outcome {
  std::vector<std::vector<std::uint8_t>> bytes;  // [K]
  QuantResult result;
};

std::uint64_t scales_of(const Shape& shape) {
  return ((shape.rows - 1) / shape.block_rows + 1) * ((shape.cols - 1) / shape.block_cols + 1) * scale_bytes(shape.scale_dtype);
}

// Outputs: the members' encoding; the same with powers of two in F32 or E8M0; BF16, transposed.
Outcome run(const Shape& shape, const Isa& isa, std::size_t threads, InputMode mode, bool wild) {
  TempDir dir;
  QuantJob job;
  job.strips = 1;
  job.inputs = kMembers;
  const std::uint64_t codes = encoded_bytes(shape.encoding, shape.rows * shape.cols);
  const std::uint64_t scales = scales_of(shape);
  for (std::size_t n = 0; n < kMembers; ++n) {
    auto bytes = random_bytes(codes + scales + 1, static_cast<std::uint32_t>(n + shape.rows));
    // no NaN
    for (std::uint64_t i = 1; i <= codes && !wild && shape.encoding != kMxfp4Code; ++i) bytes[i] &= 0xbf;
    for (std::uint64_t i = codes + 1; i < bytes.size() && !wild; ++i) {
      const bool top = (i - codes) % scale_bytes(shape.scale_dtype) == 0;
      // of ordinary size
      if (top) bytes[i] = shape.scale_dtype == kF32 || shape.scale_dtype == kBF16 ? 0x3c : 120;
    }
    write_file(dir.file("in" + std::to_string(n)), bytes);
    job.files.push_back(open_input(dir.file("in" + std::to_string(n)), mode));
    job.file.push_back(static_cast<std::int32_t>(n));
    job.offset.push_back(1);
    job.encoding.push_back(shape.encoding);
    job.scale_file.push_back(static_cast<std::int32_t>(n));
    job.scale_offset.push_back(1 + codes);
    job.scale_dtype.push_back(shape.scale_dtype);
  }
  for (std::size_t k = 0; k < kOutputs; ++k) {
    const bool floats = k == 2;
    const std::uint64_t size = floats ? shape.rows * shape.cols * 2 : codes;
    job.outputs.push_back(open_output(dir.file("out" + std::to_string(k)), size + (floats ? 0 : scales)));
    job.out_offset.push_back(0);
    job.out_encoding.push_back(floats ? std::uint8_t{kBF16} : shape.encoding);
    job.out_scale_offset.push_back(floats ? -1 : static_cast<std::int64_t>(codes));
    job.out_scale_dtype.push_back(shape.scale_dtype);
    job.power_of_two.push_back(k == 1);
    job.transpose.push_back(floats ? shape.rows : 0);
    job.amax.push_back(std::numeric_limits<double>::quiet_NaN());
    job.newest.push_back(k == 1 ? 0 : 2);
  }
  job.rows = {shape.rows};
  job.cols = {shape.cols};
  job.block_rows = {shape.block_rows};
  job.block_cols = {shape.block_cols};
  job.table = {0};
  job.weights = {0.5, 0.75, -0.25, 0.1, 0, 0.9, 1.0 / 3, 1.0 / 3, 1.0 / 3};
  EngineOptions options;
  options.threads = threads;
  options.max_inputs = kMembers;
  options.max_outputs = kOutputs;
  options.reads = mode == InputMode::read;
  std::shared_ptr<Engine> engine;
  CHECK(Engine::create(options, *isa.table, &engine).ok());
  Outcome outcome;
  const Status status = requantise(*engine, job, &outcome.result);
  CHECK_THAT(status.ok(), status.message);
  for (std::size_t k = 0; k < kOutputs; ++k) outcome.bytes.push_back(read_file(dir.file("out" + std::to_string(k))));
  return outcome;
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

void agrees(const Outcome& got, const Outcome& want, const std::string& where) {
  for (std::size_t k = 0; k < kOutputs; ++k) {
    const QuantFigures& a = got.result.figures[k];
    const QuantFigures& b = want.result.figures[k];
    CHECK_THAT(got.bytes[k] == want.bytes[k], where + " output " + std::to_string(k));
    CHECK_THAT(a.crc == b.crc && a.scale_crc == b.scale_crc && a.saturated == b.saturated && a.identical == b.identical, where);
    CHECK_THAT(same(a.amax, b.amax) && same(a.error, b.error) && same(a.change, b.change), where);
  }
  for (const auto& [at, count] : want.result.nonfinite) {
    const auto found = got.result.nonfinite.find(at);
    CHECK_THAT(found != got.result.nonfinite.end() && found->second.nan == count.nan && found->second.inf == count.inf, where);
  }
  CHECK_THAT(got.result.nonfinite.size() == want.result.nonfinite.size(), where);
}

}  // namespace

int main() {
  const Shape shapes[] = {
      {260, 300, 128, 128, kF8E4M3Code, kF32},     {260, 300, 128, 128, kF8E5M2Code, kBF16}, {7, 1001, 1, 1001, kF8E4M3FnuzCode, kF16},
      {33, 65, 5, 9, kF8E5M2FnuzCode, kF8E8M0Code}, {70, 640, 1, 32, kMxfp4Code, kU8Code},    {2, 40000, 1, 40000, kF8E4M3Code, kF32},
      {300, 200, 300, 200, kF8E4M3Code, kF32},
  };
  const Isa& scalar = compiled_isas().front();
  for (const Shape& shape : shapes) {
    for (const bool wild : {false, true}) {
      const Outcome want = run(shape, scalar, 1, InputMode::map, wild);
      for (const Isa& isa : compiled_isas()) {
        if (!isa.available) continue;
        const std::string where = std::string(isa.name) + " encoding " + std::to_string(shape.encoding) + (wild ? " wild" : "");
        agrees(run(shape, isa, 3, InputMode::map, wild), want, where);
        agrees(run(shape, isa, 2, InputMode::read, wild), want, where + " read");
      }
    }
  }
  return finish("requantise");
}
