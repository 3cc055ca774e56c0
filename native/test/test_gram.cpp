// Sums of products through the engine: against a plain loop, with every instruction set and any number of
// threads, over lost pages, refused where they would read what is not there.
#include <cmath>
#include <cstring>

#include "../ops/gram/gram.h"
#include "fixture.h"

using namespace ckpt;
using namespace ckpt_test;

namespace {

constexpr std::size_t kInputs = 5;

// float32 of ordinary size, for kInputs inputs; with a NaN and an infinity in the second span when asked.
std::vector<std::vector<float>> make_data(std::size_t count, bool nonfinite) {
  std::vector<std::vector<float>> data(kInputs);
  std::mt19937 random(7);
  for (auto& row : data) {
    for (std::size_t i = 0; i < count; ++i) row.push_back(static_cast<float>(random()) / 4294967296.0f - 0.5f);
  }
  if (nonfinite) {
    data[1][kSpan + 3] = std::nanf("");
    data[4][kSpan + 99] = -HUGE_VALF;
  }
  return data;
}

std::vector<std::shared_ptr<Input>> open_all(const TempDir& dir, const std::vector<std::vector<float>>& data, InputMode mode) {
  std::vector<std::shared_ptr<Input>> files;
  for (std::size_t n = 0; n < data.size(); ++n) {
    std::vector<std::uint8_t> bytes(data[n].size() * sizeof(float));
    std::memcpy(bytes.data(), data[n].data(), bytes.size());
    const std::string path = dir.file("in" + std::to_string(n));
    write_file(path, bytes);
    files.push_back(open_input(path, mode));
  }
  return files;
}

GramJob products_job(std::vector<std::shared_ptr<Input>> files, std::uint64_t count) {
  GramJob job;
  job.steps = true;
  job.inputs = files.size();
  job.files = std::move(files);
  job.segments = 1;
  job.count = {count};
  for (std::size_t n = 0; n < job.inputs; ++n) job.file.push_back(static_cast<std::int32_t>(n));
  job.offset.assign(job.inputs, 0);
  job.dtype.assign(job.inputs, kF32);
  return job;
}

std::vector<double> plain_span(const std::vector<std::vector<float>>& data, std::size_t from, std::size_t to) {
  const std::size_t pairs = kInputs * (kInputs + 1) / 2;
  std::vector<double> lanes((pairs + kInputs) * kLanes);
  std::vector<double> sums(gram_width(kInputs));
  for (std::size_t i = from; i < to; ++i) {
    bool finite = true;
    for (std::size_t n = 0; n < kInputs; ++n) {
      if (std::isfinite(data[n][i])) continue;
      finite = false;
      ++sums[pairs + (std::isnan(data[n][i]) ? 2 : 3) * kInputs + n];
    }
    if (!finite) continue;
    for (std::size_t a = 0; a < kInputs; ++a) {
      const double x = data[a][i];
      for (std::size_t b = a; b < kInputs; ++b) {
        const double product = x * static_cast<double>(data[b][i]);
        lanes[gram_pair(kInputs, a, b) * kLanes + (i - from) % kLanes] += product;
      }
      if (a == 0) continue;
      const double step = x - static_cast<double>(data[a - 1][i]);
      const double square = step * step;
      lanes[(pairs + a) * kLanes + (i - from) % kLanes] += square;
      sums[pairs + kInputs + a] = std::max(sums[pairs + kInputs + a], std::fabs(step));
    }
  }
  for (std::size_t s = 0; s < pairs + kInputs; ++s) {
    const double* lane = &lanes[s * kLanes];
    sums[s] = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
  }
  return sums;
}

void as_a_plain_loop() {
  const TempDir dir;
  for (const std::size_t count : {std::size_t{1}, std::size_t{kSpan}, std::size_t{2 * kSpan + 77}}) {
    const auto data = make_data(count, count > kSpan);
    std::vector<double> want;
    for (std::size_t from = 0; from < count; from += kSpan) {
      const auto span = plain_span(data, from, std::min<std::size_t>(count, from + kSpan));
      want.insert(want.end(), span.begin(), span.end());
    }
    for (const Isa& isa : compiled_isas()) {
      if (!isa.available) continue;
      for (const InputMode mode : {InputMode::map, InputMode::read}) {
        for (const std::size_t threads : {1, 4}) {
          EngineOptions options;
          options.threads = threads;
          options.max_inputs = kInputs;
          options.reads = mode == InputMode::read;
          std::shared_ptr<Engine> engine;
          CHECK(Engine::create(options, *isa.table, &engine).ok());
          GramResult result;
          CHECK(gram(*engine, products_job(open_all(dir, data, mode), count), &result).ok());
          const bool same = result.sums.size() == want.size() && std::memcmp(result.sums.data(), want.data(), want.size() * sizeof(double)) == 0;
          CHECK_THAT(same, std::string(isa.name) + " " + std::to_string(count) + " x" + std::to_string(threads));
        }
      }
    }
  }
}

void lost_pages_fail_the_call() {
  const TempDir dir;
  const std::size_t count = 1 << 20;
  const auto data = make_data(count, false);
  EngineOptions options;
  options.threads = 2;
  options.max_inputs = kInputs;
  const auto engine = make_engine(options);
  const GramJob job = products_job(open_all(dir, data, InputMode::map), count);
  CHECK(truncate(dir.file("in3").c_str(), 4096) == 0);
  GramResult result;
  const Status status = gram(*engine, job, &result);
  CHECK(status.code == Code::input_changed && status.file == 3 && status.segment == 0);
}

void refuses_wild_reads() {
  const TempDir dir;
  const auto data = make_data(64, false);
  EngineOptions options;
  options.max_inputs = kInputs;
  const auto engine = make_engine(options);
  const auto refused = [&](auto&& spoil) {
    GramJob job = products_job(open_all(dir, data, InputMode::map), 64);
    spoil(job);
    GramResult result;
    CHECK(gram(*engine, job, &result).code == Code::invalid_arg);
  };
  refused([](GramJob& job) { job.count[0] = 65; });
  refused([](GramJob& job) { job.offset[2] = 1; });
  refused([](GramJob& job) { job.file[1] = 9; });
  refused([](GramJob& job) { job.file[1] = -1; });
  refused([](GramJob& job) { job.dtype[0] = 4; });
  refused([](GramJob& job) { job.dtype.pop_back(); });
}

}  // namespace

int main() {
  as_a_plain_loop();
  lost_pages_fail_the_call();
  refuses_wild_reads();
  return finish("gram");
}
