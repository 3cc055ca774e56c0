// Truncation under a mapping: the call fails, the process lives, other threads notice.
#include <sys/wait.h>

#include <atomic>
#include <thread>

#include "fixture.h"

using namespace ckpt;
using namespace ckpt_test;

namespace {

constexpr std::uint64_t kCount = 4 << 20;

void truncated_before(const TempDir& dir) {
  for (const std::uint64_t left : {std::uint64_t{0}, std::uint64_t{4096}, std::uint64_t{kCount}, std::uint64_t{kCount * 2 - 5000}}) {
    write_file(dir.file("a"), std::vector<std::uint8_t>(kCount * 2, 0x3c));
    const auto input = open_input(dir.file("a"), InputMode::map);
    const auto good = open_input(dir.file("good"), InputMode::map);
    std::filesystem::resize_file(dir.file("a"), left);
    const auto output = open_output(dir.file("out"), kCount * 2, std::filesystem::exists(dir.file("out")));
    EngineOptions options;
    options.threads = 4;
    options.max_inputs = 2;
    const auto engine = make_engine(options);
    CombineResult result;
    const Status status = combine(*engine, mean_job({good, input}, {output}, kCount), &result);
    CHECK_THAT(status.code == Code::input_changed && status.file == 1, status.message);
    CHECK(combine(*engine, mean_job({good}, {output}, kCount), &result).ok());
    CHECK(combine(*engine, mean_job({input}, {output}, 10), &result).code == Code::input_changed);
  }
}

// Truncates again and again while calls run: each call ends in success or input_changed, never in a crash.
void truncated_during(const TempDir& dir) {
  for (int round = 0; round < 20; ++round) {
    write_file(dir.file("b"), std::vector<std::uint8_t>(kCount * 2, 0x3c));
    const auto input = open_input(dir.file("b"), InputMode::map);
    const auto output = open_output(dir.file("out"), kCount * 2, true);
    EngineOptions options;
    options.threads = 3;
    const auto engine = make_engine(options);
    std::thread truncate([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(100 * round));
      std::filesystem::resize_file(dir.file("b"), 100000);
    });
    CombineResult result;
    const Status status = combine(*engine, mean_job({input}, {output}, kCount), &result);
    truncate.join();
    CHECK_THAT(status.ok() || status.code == Code::input_changed, status.message);
  }
}

void read_instead_of_mapped(const TempDir& dir) {
  write_file(dir.file("c"), std::vector<std::uint8_t>(kCount * 2, 0x3c));
  const auto input = open_input(dir.file("c"), InputMode::read);
  std::filesystem::resize_file(dir.file("c"), kCount);
  const auto output = open_output(dir.file("out"), kCount * 2, true);
  EngineOptions options;
  options.threads = 2;
  options.reads = true;
  CombineResult result;
  const Status status = combine(*make_engine(options), mean_job({input}, {output}, kCount), &result);
  CHECK(status.code == Code::input_changed && status.file == 0);
}

// A fault outside every window ends the process, by whatever handled it before us.
void foreign_faults_are_passed_on(const TempDir& dir) {
  const auto input = open_input(dir.file("good"), InputMode::map);  // installs the handler
  const pid_t child = fork();
  if (child == 0) {
    std::filesystem::resize_file(dir.file("good"), 0);
    volatile const std::uint8_t* lost = input->mapping().base;  // mapped by us, but no window is registered
    _exit(*lost);
  }
  int status = 0;
  waitpid(child, &status, 0);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);  // the sanitizer's own handler reports it
#else
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
#endif
}

}  // namespace

int main() {
  const TempDir dir;
  write_file(dir.file("good"), std::vector<std::uint8_t>(kCount * 2, 0x3c));
  truncated_before(dir);
  truncated_during(dir);
  read_instead_of_mapped(dir);
  foreign_faults_are_passed_on(dir);
  return finish("faults");
}
