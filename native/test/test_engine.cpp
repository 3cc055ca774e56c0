// The engine end to end: shapes of work, modes of reading, failures.
#include <signal.h>
#include <sys/resource.h>

#include <cstring>

#include "../io/crc32c.h"
#include "fixture.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

using namespace ckpt;
using namespace ckpt_test;

namespace {

constexpr std::uint64_t kCount = 300001;

// bf16 elements without NaN or infinity.
std::vector<std::uint8_t> finite_bf16(std::uint64_t count, std::uint32_t seed) {
  auto bytes = random_bytes(count * 2, seed);
  for (std::uint64_t i = 0; i < count; ++i) bytes[2 * i + 1] = static_cast<std::uint8_t>((bytes[2 * i + 1] & 0x80) | 0x3f);
  return bytes;
}

EngineOptions options_for(bool reads, std::size_t threads) {
  EngineOptions options;
  options.threads = threads;
  options.memory_bytes = std::uint64_t{32} << 20;
  options.max_inputs = 3;
  options.max_outputs = 2;
  options.reads = reads;
  return options;
}

std::vector<std::uint8_t> merged(const TempDir& dir, InputMode mode, EngineOptions options, std::uint32_t* crc) {
  std::vector<std::shared_ptr<Input>> files;
  for (int i = 0; i < 3; ++i) files.push_back(open_input(dir.file("in" + std::to_string(i)), mode));
  std::filesystem::remove(dir.file("a"));
  std::filesystem::remove(dir.file("b"));
  const auto a = open_output(dir.file("a"), kCount * 2);
  const auto b = open_output(dir.file("b"), kCount * 2);
  const auto engine = make_engine(options);
  CombineResult result;
  const Status status = combine(*engine, mean_job(files, {a, b}, kCount), &result);
  CHECK_THAT(status.ok(), status.message);
  CHECK(result.bytes_read == kCount * 6);
  CHECK(result.bytes_written == kCount * 4);
  CHECK(result.written.crc.size() == 2 && result.written.crc[0] == result.written.crc[1]);
  *crc = result.written.crc[0];
  CHECK(read_file(dir.file("a")) == read_file(dir.file("b")));
  return read_file(dir.file("a"));
}

void same_bytes_however_it_is_done(const TempDir& dir) {
  std::uint32_t crc = 0;
  const auto want = merged(dir, InputMode::map, options_for(false, 1), &crc);
  CHECK(crc == crc32c(0, want.data(), want.size()));
  for (const std::size_t threads : std::initializer_list<std::size_t>{1, 2, 7}) {
    for (const InputMode mode : {InputMode::map, InputMode::read}) {
      for (const std::size_t tile : std::initializer_list<std::size_t>{0, 64, 1000, 65536}) {
        EngineOptions options = options_for(mode == InputMode::read, threads);
        options.tile_bytes = tile;
        options.request_bytes = tile == 1000 ? 5000 : 0;
        options.drop_cache = tile == 65536;
        options.flush_behind = tile == 0;
        std::uint32_t again = 0;
        CHECK(merged(dir, mode, options, &again) == want);
        CHECK(again == crc);
      }
    }
  }
}

void failures_are_reported(const TempDir& dir) {
  const auto input = open_input(dir.file("in0"), InputMode::read);
  const auto output = open_output(dir.file("f"), kCount * 2);
  const auto engine = make_engine(options_for(true, 2));
  CombineResult result;
  std::int32_t cancel = 1;
  CombineJob job = mean_job({input}, {output}, kCount);
  job.cancel = &cancel;
  CHECK(combine(*engine, job, &result).code == Code::cancelled);
  job.cancel = nullptr;
  job.offset[0] = 2;
  CHECK(combine(*engine, job, &result).code == Code::invalid_arg);
  job.offset[0] = 0;
  CHECK(combine(*engine, job, &result).ok());
  CHECK(output->close().ok());
  CHECK(combine(*engine, job, &result).code == Code::invalid_arg);
  const auto maps_only = make_engine(options_for(false, 1));
  CHECK(combine(*maps_only, job, &result).code == Code::invalid_arg);

  // A file size limit between the start and the end of an output that was already sized.
  const auto limited = open_output(dir.file("f"), kCount * 2, true);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 4096;
  setrlimit(RLIMIT_FSIZE, &small);
  const Status status = combine(*engine, mean_job({input}, {limited}, kCount), &result);
  setrlimit(RLIMIT_FSIZE, &before);
  CHECK(status.code == Code::no_space && status.error == EFBIG && status.output == 0);

  std::shared_ptr<Input> none;
  CHECK(Input::open(dir.file("none"), InputMode::map, &none).error == ENOENT);
  std::shared_ptr<Output> exists;
  CHECK(Output::open(dir.file("f"), 1, false, &exists).error == EEXIST);
}

void counts_nonfinite(const TempDir& dir) {
  auto bytes = finite_bf16(kCount, 5);
  const std::uint16_t nan = 0x7fc1;
  const std::uint16_t inf = 0xff80;
  std::memcpy(&bytes[2 * 10], &nan, 2);
  std::memcpy(&bytes[2 * 200000], &inf, 2);
  std::memcpy(&bytes[2 * 200001], &nan, 2);
  write_file(dir.file("bad"), bytes);
  for (const InputMode mode : {InputMode::map, InputMode::read}) {
    const auto output = open_output(dir.file("n"), kCount * 2, std::filesystem::exists(dir.file("n")));
    CombineJob job = mean_job({open_input(dir.file("in0"), mode), open_input(dir.file("bad"), mode)}, {output}, kCount);
    job.cell = {0, 2};
    job.cell_end = {100, kCount};
    CombineResult result;
    CHECK(combine(*make_engine(options_for(mode == InputMode::read, 2)), job, &result).ok());
    CHECK(result.nonfinite.size() == 2);
    CHECK((result.nonfinite[{0, 1}].nan == 1 && result.nonfinite[{0, 1}].inf == 0));
    CHECK((result.nonfinite[{1, 1}].nan == 1 && result.nonfinite[{1, 1}].inf == 1));
  }
}

// Threads inherit the control word of their creator; a host that flushes denormals must not change a byte.
void keeps_denormals(const TempDir& dir) {
  std::vector<std::uint8_t> bytes(2 * 1000);
  // all of them bf16 denormals
  for (std::size_t i = 0; i < bytes.size(); i += 2) bytes[i] = static_cast<std::uint8_t>(1 + i % 127);
  write_file(dir.file("denormal"), bytes);
#if defined(__x86_64__)
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);
#endif
  const auto output = open_output(dir.file("d"), bytes.size());
  CombineResult result;
  CHECK(combine(*make_engine(options_for(false, 2)), mean_job({open_input(dir.file("denormal"), InputMode::map)}, {output}, 1000), &result).ok());
#if defined(__x86_64__)
  _mm_setcsr(before);
#endif
  CHECK(read_file(dir.file("d")) == bytes);
}

}  // namespace

int main() {
  signal(SIGXFSZ, SIG_DFL);  // the core has to see to it itself
  const TempDir dir;
  for (std::uint32_t i = 0; i < 3; ++i) write_file(dir.file("in" + std::to_string(i)), finite_bf16(kCount, i + 1));
  same_bytes_however_it_is_done(dir);
  failures_are_reported(dir);
  counts_nonfinite(dir);
  keeps_denormals(dir);
  return finish("engine");
}
