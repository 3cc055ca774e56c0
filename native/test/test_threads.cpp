// What the thread sanitizer should see: overlapping calls, cancellation from outside, closing while calls
// run.
#include <atomic>
#include <thread>

#include "fixture.h"

using namespace ckpt;
using namespace ckpt_test;

namespace {

constexpr std::uint64_t kCount = 400000;
constexpr std::uint64_t kPart = kCount / 4;

void overlapping_calls(const TempDir& dir, bool reads) {
  const InputMode mode = reads ? InputMode::read : InputMode::map;
  const auto input = open_input(dir.file("in"), mode);
  const auto output = open_output(dir.file("out"), kCount * 2, std::filesystem::exists(dir.file("out")));
  EngineOptions options;
  options.threads = 3;
  options.reads = reads;
  options.requests_in_flight = 5;
  options.request_bytes = 30000;
  options.flush_behind = true;
  options.drop_cache = reads;
  const auto engine = make_engine(options);
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (std::uint64_t part = 0; part < 4; ++part) {
    callers.emplace_back([&, part] {
      CombineResult result;
      if (combine(*engine, mean_job({input}, {output}, kPart, part * kPart), &result).ok()) ++good;
    });
  }
  for (auto& caller : callers) caller.join();
  CHECK(good == 4);
  CHECK(read_file(dir.file("out")) == read_file(dir.file("in")));
}

void cancelled_calls(const TempDir& dir) {
  const auto input = open_input(dir.file("in"), InputMode::read);
  const auto output = open_output(dir.file("out"), kCount * 2, true);
  EngineOptions options;
  options.threads = 2;
  options.reads = true;
  options.requests_in_flight = 4;
  options.request_bytes = 4096;
  // Long enough that no other work of the machine lets it end before it is told to.
  options.read_delay_micros = 5000;
  const auto engine = make_engine(options);
  for (int round = 0; round < 10; ++round) {
    std::int32_t flag = 0;
    CombineJob job = mean_job({input}, {output}, kCount);
    job.cancel = &flag;
    std::thread cancel([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(round));
      __atomic_store_n(&flag, 1, __ATOMIC_RELAXED);
    });
    CombineResult result;
    CHECK(combine(*engine, job, &result).code == Code::cancelled);
    cancel.join();
  }
}

void closed_in_use(const TempDir& dir) {
  auto output = open_output(dir.file("closing"), kCount * 2);
  EngineOptions options;
  const auto engine = make_engine(options);
  auto use = std::make_unique<OutputUse>(output);
  std::thread caller([&, job = mean_job({open_input(dir.file("in"), InputMode::map)}, {output}, kCount)] {
    CombineResult result;
    CHECK(combine(*engine, job, &result).ok());
    use.reset();
  });
  CHECK(output->close().ok());
  caller.join();
  CHECK(output->closed());
}

}  // namespace

int main() {
  const TempDir dir;
  auto bytes = random_bytes(kCount * 2, 1);
  for (std::uint64_t i = 0; i < kCount; ++i) bytes[2 * i + 1] = 0x3f;
  write_file(dir.file("in"), bytes);
  overlapping_calls(dir, false);
  overlapping_calls(dir, true);
  cancelled_calls(dir);
  closed_in_use(dir);
  return finish("threads");
}
