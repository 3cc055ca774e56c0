// Two benches of the core alone. Writes one JSON document.
//
//   core_bench floats|boxes [--dir DIR] [--inputs N] [--bytes B] [--threads T] [--rounds R]
//
// floats: what the float64 promise costs: kernels with float64 and with float32 accumulators, alone and
// inside the engine. boxes: what it costs that matrices were saved by columns, against the same files as
// rows.
//
// DIR holds N temporary inputs of B bytes of bf16 (whole matrices of 32 MiB), in four files each, and one
// output (default: the system's temporary folder, 4 inputs of 256 MiB, 1 thread, 5 rounds). Kernels run on
// blocks that stay in cache; rounds of the variants alternate; the best round counts for kernels, the median
// for the engine.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "../cpu/dispatch.h"
#include "../ops/combine/combine.h"

namespace ckpt {
#if defined(CKPT_HAVE_AVX2)
namespace kernels_avx2_float {
extern const KernelTable table;
}
#endif
#if defined(CKPT_HAVE_AVX512)
namespace kernels_avx512_float {
extern const KernelTable table;
}
#endif
#if defined(CKPT_HAVE_NEON)
namespace kernels_neon_float {
extern const KernelTable table;
}
#endif
}  // namespace ckpt

using namespace ckpt;

namespace {

// Rows and columns of a matrix, and its bytes.
constexpr std::uint64_t kSide = 4096;
constexpr std::uint64_t kMatrix = kSide * kSide * 2;

struct Settings {
  std::string dir = std::filesystem::temp_directory_path().string();
  std::size_t inputs = 4;
  std::uint64_t bytes = std::uint64_t{256} << 20;
  std::size_t threads = 1;
  int rounds = 5;
};

// The float32 variant of an instruction set, or null.
const KernelTable* float_table(const std::string& isa) {
#if defined(CKPT_HAVE_AVX2)
  if (isa == "avx2") return &kernels_avx2_float::table;
#endif
#if defined(CKPT_HAVE_AVX512)
  if (isa == "avx512") return &kernels_avx512_float::table;
#endif
#if defined(CKPT_HAVE_NEON)
  if (isa == "neon") return &kernels_neon_float::table;
#endif
  static_cast<void>(isa);
  return nullptr;
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

[[noreturn]] void give_up(const Status& status) {
  std::fprintf(stderr, "core_bench: %s %s\n", status.message, status.error != 0 ? std::strerror(status.error) : "");
  std::exit(1);
}

// bf16 values near 1, of either sign.
std::vector<std::uint16_t> sample(std::size_t count, std::uint32_t seed) {
  std::vector<std::uint16_t> values(count);
  for (auto& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<std::uint16_t>(0x3f00u | ((seed >> 8) & 0x80ffu));
  }
  return values;
}

// Bytes of input a second through one kernel, best of the rounds.
double kernel_rate(BlockKernel kernel, std::size_t inputs, double weight, int rounds) {
  constexpr std::size_t kCount = 4096;
  constexpr int kRepeats = 2000;
  std::vector<std::vector<std::uint16_t>> data;
  std::vector<const void*> from;
  for (std::size_t n = 0; n < inputs; ++n) data.push_back(sample(kCount, static_cast<std::uint32_t>(n)));
  for (const auto& values : data) from.push_back(values.data());
  std::vector<std::uint16_t> out(kCount);
  void* to = out.data();
  const std::vector<double> weights(inputs, weight);
  const Block block{from.data(), weights.data(), &to, inputs, kCount};
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    const double seconds = seconds_of([&] {
      for (int i = 0; i < kRepeats; ++i) kernel(block);
    });
    best = std::max(best, static_cast<double>(kRepeats * kCount * 2 * inputs) / seconds);
  }
  return best;
}

void bench_kernels(const Settings& settings) {
  std::printf("  \"kernels\": [");
  const char* separator = "";
  for (const Isa& isa : compiled_isas()) {
    const KernelTable* single = float_table(isa.name);
    if (!isa.available || single == nullptr) continue;
    for (const std::size_t inputs : {std::size_t{4}, std::size_t{10}}) {
      const double f64 = kernel_rate(isa.table->combine[kBF16][kBF16][0], inputs, 0.1, settings.rounds);
      const double fused = kernel_rate(isa.table->combine_exact[kBF16][kBF16][0], inputs, 0.125, settings.rounds);
      const double f32 = kernel_rate(single->combine[kBF16][kBF16][0], inputs, 0.1, settings.rounds);
      std::printf("%s\n    {\"isa\": \"%s\", \"inputs\": %zu, \"float64BytesPerSecond\": %.4g, \"float64ExactBytesPerSecond\": %.4g, "
                  "\"float32BytesPerSecond\": %.4g, \"ratio\": %.3f}",
                  separator, isa.name, inputs, f64, fused, f32, f64 / f32);
      separator = ",";
    }
  }
  std::printf("\n  ],\n");
}

// An input is kParts files.
constexpr std::size_t kParts = 4;

class Files {
 public:
  explicit Files(const Settings& settings) : dir_(settings.dir + "/core-bench-" + std::to_string(getpid())) {
    std::filesystem::create_directory(dir_);
    const auto values = sample(std::size_t{1} << 20, 7);
    const std::uint64_t bytes = settings.bytes / kParts;
    for (std::size_t f = 0; f < settings.inputs * kParts; ++f) {
      std::shared_ptr<Output> output;
      Status status = Output::open(input(f), bytes, false, &output);
      for (std::uint64_t at = 0; status.ok() && at < bytes; at += values.size() * 2) {
        status = output->write(at, values.data(), static_cast<std::size_t>(std::min<std::uint64_t>(values.size() * 2, bytes - at)));
      }
      if (!status.ok()) give_up(status);
    }
  }
  ~Files() { std::filesystem::remove_all(dir_); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  std::string input(std::size_t f) const { return dir_ + "/in" + std::to_string(f); }
  std::string output() const { return dir_ + "/out"; }

 private:
  std::string dir_;
};

// How a matrix lies in the four files of an input: a quarter of its rows in each, or of its columns.
enum class Layout { rows, columns };

CombineJob job_of(const Settings& settings, Layout layout, std::uint64_t side, std::uint64_t width) {
  const std::uint64_t part = side * side / kParts;  // elements
  CombineJob job;
  job.inputs = settings.inputs;
  job.cell = {0};
  std::uint64_t done = 0;
  const auto add = [&](std::uint64_t count) {
    job.count.push_back(count);
    job.out_offset.push_back(done * 2);
    job.out_dtype.push_back(kBF16);
    job.table.push_back(0);
    job.cell_end.push_back(count);
    job.cell.push_back(static_cast<std::int32_t>(++job.segments));
    job.dtype.insert(job.dtype.end(), job.inputs, kBF16);
    done += count;
  };
  for (std::uint64_t matrix = 0; matrix < settings.bytes / 2 / kParts / part; ++matrix) {
    const std::uint64_t offset = matrix * part * 2;
    if (layout == Layout::rows) {
      for (std::size_t f = 0; f < kParts; ++f) {
        add(part);
        for (std::size_t n = 0; n < job.inputs; ++n) job.file.push_back(static_cast<std::int32_t>(n * kParts + f));
        job.offset.insert(job.offset.end(), job.inputs, offset);
      }
      continue;
    }
    if (job.boxes.first.empty()) job.boxes.first = {0};
    add(side * side);
    for (std::size_t n = 0; n < job.inputs; ++n) {
      job.file.push_back(-1);
      job.offset.push_back(0);
      job.boxes.columns.push_back(side);
      job.boxes.start.push_back(0);
      for (std::uint64_t box = 0; box < side / width; ++box) {
        job.boxes.row.push_back(0);
        job.boxes.rows.push_back(side);
        job.boxes.column.push_back(box * width);
        job.boxes.width.push_back(width);
        job.boxes.row_stride.push_back(width * 2);
        job.boxes.file.push_back(static_cast<std::int32_t>(n * kParts + box * width * kParts / side));
        job.boxes.offset.push_back(offset + box * width % (side / kParts) * side * 2);
      }
      job.boxes.first.push_back(static_cast<std::int32_t>(job.boxes.row.size()));
    }
  }
  job.weights.assign(settings.inputs, 1.0 / static_cast<double>(settings.inputs));
  return job;
}

double merge_seconds(const Settings& settings, const Files& files, const KernelTable& kernels, CombineJob job) {
  std::filesystem::remove(files.output());
  EngineOptions options;
  options.threads = settings.threads;
  options.max_inputs = settings.inputs;
  options.gathers = !job.boxes.empty();
  std::shared_ptr<Engine> engine;
  job.outputs.resize(1);
  Status status = Engine::create(options, kernels, &engine);
  if (status.ok()) status = Output::open(files.output(), settings.bytes, false, &job.outputs[0]);
  if (!status.ok()) give_up(status);
  return seconds_of([&] {
    job.files.resize(settings.inputs * kParts);
    for (std::size_t f = 0; status.ok() && f < job.files.size(); ++f) status = Input::open(files.input(f), InputMode::map, &job.files[f]);
    CombineResult result;
    if (status.ok()) status = combine(*engine, job, &result);
    if (!status.ok()) give_up(status);
    job.files.clear();
  });
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void bench_merges(const Settings& settings, const Files& files) {
  std::string why;
  const Isa* isa = choose_isa(nullptr, &why);
  const KernelTable* single = float_table(isa->name);
  if (single == nullptr) {
    std::printf("  \"merge\": null\n");
    return;
  }
  const CombineJob job = job_of(settings, Layout::rows, kSide, kSide);
  std::vector<double> f64;
  std::vector<double> f32;
  for (int round = 0; round < settings.rounds; ++round) {
    f64.push_back(merge_seconds(settings, files, *isa->table, job));
    f32.push_back(merge_seconds(settings, files, *single, job));
  }
  std::printf("  \"merge\": {\"isa\": \"%s\", \"inputs\": %zu, \"bytes\": %llu, \"threads\": %zu, \"float64Seconds\": %.4f, \"float32Seconds\": %.4f, "
              "\"ratio\": %.3f}\n",
              isa->name, settings.inputs, static_cast<unsigned long long>(settings.bytes), settings.threads, median(f64), median(f32),
              median(f64) / median(f32));
}

// Matrices of 4096 x 4096 in boxes of so many columns, in four files; one of a column each is a transposed
// matrix.
void bench_boxes(const Settings& settings, const Files& files) {
  std::string why;
  const KernelTable& kernels = *choose_isa(nullptr, &why)->table;
  const std::vector<std::uint64_t> widths = {1024, 256, 32, 1};
  std::vector<double> rows;
  std::vector<std::vector<double>> columns(widths.size());
  for (int round = 0; round < settings.rounds; ++round) {
    rows.push_back(merge_seconds(settings, files, kernels, job_of(settings, Layout::rows, kSide, kSide)));
    for (std::size_t w = 0; w < widths.size(); ++w) {
      columns[w].push_back(merge_seconds(settings, files, kernels, job_of(settings, Layout::columns, kSide, widths[w])));
    }
  }
  std::printf("  \"boxes\": [");
  for (std::size_t w = 0; w < widths.size(); ++w) {
    std::printf("%s\n    {\"width\": %llu, \"rowsSeconds\": %.4f, \"columnsSeconds\": %.4f, \"ratio\": %.3f}", w == 0 ? "" : ",",
                static_cast<unsigned long long>(widths[w]), median(rows), median(columns[w]), median(rows) / median(columns[w]));
  }
  std::printf("\n  ]\n");
}

bool parse(int count, char** arguments, Settings* settings) {
  for (int i = 2; i + 1 < count; i += 2) {
    const std::string name = arguments[i];
    const unsigned long long number = std::strtoull(arguments[i + 1], nullptr, 10);
    if (name == "--dir") settings->dir = arguments[i + 1];
    else if (name == "--inputs") settings->inputs = number;
    else if (name == "--bytes") settings->bytes = number / kMatrix * kMatrix;
    else if (name == "--threads") settings->threads = number;
    else if (name == "--rounds") settings->rounds = static_cast<int>(number);
    else return false;
  }
  return count % 2 == 0 && settings->inputs > 0 && settings->bytes > 0 && settings->threads > 0 && settings->rounds > 0;
}

}  // namespace

int main(int count, char** arguments) {
  Settings settings;
  const std::string what = count < 2 ? "" : arguments[1];
  if ((what != "floats" && what != "boxes") || !parse(count, arguments, &settings)) {
    std::fprintf(stderr, "usage: core_bench floats|boxes [--dir DIR] [--inputs N] [--bytes B] [--threads T] [--rounds R]\n");
    return 2;
  }
  std::printf("{\n");
  if (what == "floats") bench_kernels(settings);
  const Files files(settings);
  if (what == "floats") bench_merges(settings, files);
  else bench_boxes(settings, files);
  std::printf("}\n");
  return 0;
}
