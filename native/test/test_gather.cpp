// Inputs that lie in boxes: whatever the boxes, dtypes, tiles, threads and modes of reading, the same bits as
// of inputs that an obvious loop has put together; hostile boxes are refused; lost files fail the call.
#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>

#include "../engine/dtype.h"
#include "../ops/gram/gram.h"
#include "fixture.h"

using namespace ckpt;
using namespace ckpt_test;

namespace {

using Random = std::mt19937;

std::uint64_t below(Random& random, std::uint64_t limit) { return random() % limit; }

template <typename T>
T pick(Random& random, std::initializer_list<T> from) {
  return from.begin()[below(random, from.size())];
}

struct Box {
  std::uint64_t row, rows, column, width, stride;
  std::size_t file;
  std::uint64_t offset = 0;
};

// An input of a segment: what its elements are, and where the boxes put them.
struct Scattered {
  std::size_t size = 1;
  std::uint64_t columns = 1;
  std::uint64_t start = 0;
  std::vector<std::uint8_t> elements;  // of the segment
  std::vector<Box> boxes;              // none: in one run
};

// Widths that fill a row: one, all of one column, or some of any width.
std::vector<std::uint64_t> cut(Random& random, std::uint64_t columns) {
  const std::uint64_t kind = below(random, 4);
  if (kind == 0) return {columns};
  if (kind == 1 && columns <= 300) return std::vector<std::uint64_t>(columns, 1);
  std::vector<std::uint64_t> widths;
  for (std::uint64_t at = 0; at < columns; at += widths.back()) widths.push_back(std::min(columns - at, 1 + below(random, columns / 2 + 1)));
  return widths;
}

// Files of one member, which boxes are put into in any order.
struct Heap {
  std::vector<std::vector<std::uint8_t>> files;

  std::uint64_t reserve(Random& random, std::size_t file, std::uint64_t bytes) {
    std::vector<std::uint8_t>& to = files[file];
    const std::uint64_t at = to.size() + below(random, 5);
    const auto noise = random_bytes(at + bytes - to.size(), static_cast<std::uint32_t>(random()));
    to.insert(to.end(), noise.begin(), noise.end());
    return at;
  }
};

Scattered scatter(Random& random, Heap& heap, std::size_t size, std::uint64_t count) {
  Scattered input;
  input.size = size;
  input.elements = random_bytes(count * size, static_cast<std::uint32_t>(random()));
  input.columns = pick<std::uint64_t>(random, {1, 2, 3, 7, 64, 100, 257, 1000, 40000});
  input.start = below(random, 2) == 0 ? 0 : below(random, 3 * input.columns);
  const std::uint64_t end = (input.start + count + input.columns - 1) / input.columns + below(random, 3);
  const bool gaps = below(random, 3) == 0;
  const bool tall = below(random, 2) == 0;
  for (std::uint64_t row = below(random, input.start / input.columns + 1); row < end;) {
    const std::uint64_t rows = std::min(end - row, 1 + below(random, tall ? end : end / 8 + 2));
    std::uint64_t column = 0;
    for (const std::uint64_t width : cut(random, input.columns)) {
      const std::uint64_t stride = width * size + (gaps ? below(random, 40) : 0);
      input.boxes.push_back({row, rows, column, width, stride, below(random, heap.files.size())});
      column += width;
    }
    row += rows;
  }
  std::vector<std::size_t> order(input.boxes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  for (const std::size_t b : order) {
    Box& box = input.boxes[b];
    box.offset = heap.reserve(random, box.file, (box.rows - 1) * box.stride + box.width * size);
    for (std::uint64_t r = 0; r < box.rows; ++r) {
      for (std::uint64_t c = 0; c < box.width; ++c) {
        const std::uint64_t element = (box.row + r) * input.columns + box.column + c;
        if (element < input.start || element >= input.start + count) continue;
        std::memcpy(&heap.files[box.file][box.offset + r * box.stride + c * size], &input.elements[(element - input.start) * size], size);
      }
    }
  }
  return input;
}

// A job of boxes and the job of runs that it must equal, over files of their own.
template <typename AnyJob>
struct Twins {
  AnyJob boxed;
  AnyJob plain;
};

struct Shape {
  std::size_t inputs;
  std::size_t outputs;                 // 0: a job of products
  std::vector<std::uint64_t> count;    // [S]
  std::vector<int> copied;             // [S] member, or -1
};

// What both kinds of jobs have. Some inputs lie in boxes, others in runs.
template <typename AnyJob>
Twins<AnyJob> scattered_job(Random& random, const TempDir& dir, const Shape& shape) {
  Twins<AnyJob> twins;
  std::vector<Heap> heaps(shape.inputs);
  for (Heap& heap : heaps) heap.files.resize(1 + below(random, 3), {0});
  std::vector<std::vector<std::uint8_t>> runs(shape.inputs);
  for (AnyJob* job : {&twins.boxed, &twins.plain}) {
    job->segments = shape.count.size();
    job->inputs = shape.inputs;
    job->count = shape.count;
  }
  Boxes& boxes = twins.boxed.boxes;
  boxes.first = {0};
  std::vector<std::size_t> member_of_box;
  for (std::size_t s = 0; s < shape.count.size(); ++s) {
    for (std::size_t n = 0; n < shape.inputs; ++n) {
      const auto dtype = pick<std::uint8_t>(random, {kBF16, kF16, kF32, kF64, kF8E4M3Code});
      const std::size_t size = shape.copied[s] >= 0 ? 1 : float_size(dtype);
      Scattered input;
      std::uint64_t at = 0;  // in a run
      if (below(random, 4) != 0) {
        input = scatter(random, heaps[n], size, shape.count[s]);
      } else {
        input.elements = random_bytes(shape.count[s] * size, static_cast<std::uint32_t>(random()));
        at = heaps[n].reserve(random, 0, input.elements.size());
        std::copy(input.elements.begin(), input.elements.end(), heaps[n].files[0].begin() + static_cast<std::ptrdiff_t>(at));
      }
      twins.boxed.file.push_back(input.boxes.empty() ? static_cast<std::int32_t>(n) : -1);  // the first of its files
      twins.boxed.offset.push_back(at);
      twins.plain.file.push_back(static_cast<std::int32_t>(n));
      twins.plain.offset.push_back(runs[n].size());
      runs[n].insert(runs[n].end(), input.elements.begin(), input.elements.end());
      twins.boxed.dtype.push_back(dtype);
      twins.plain.dtype.push_back(dtype);
      boxes.columns.push_back(input.boxes.empty() ? 0 : input.columns);
      boxes.start.push_back(input.start);
      for (const Box& box : input.boxes) {
        boxes.row.push_back(box.row);
        boxes.rows.push_back(box.rows);
        boxes.column.push_back(box.column);
        boxes.width.push_back(box.width);
        boxes.offset.push_back(box.offset);
        boxes.row_stride.push_back(box.rows == 1 ? random() : box.stride);
        boxes.file.push_back(static_cast<std::int32_t>(box.file * shape.inputs));
        member_of_box.push_back(n);
      }
      boxes.first.push_back(static_cast<std::int32_t>(boxes.row.size()));
    }
  }
  // File f of member n is file f * N + n of the job.
  for (std::size_t b = 0; b < member_of_box.size(); ++b) boxes.file[b] += static_cast<std::int32_t>(member_of_box[b]);
  for (std::size_t n = 0; n < shape.inputs; ++n) {
    for (std::size_t f = 0; f < heaps[n].files.size(); ++f) write_file(dir.file("box" + std::to_string(f * shape.inputs + n)), heaps[n].files[f]);
    write_file(dir.file("run" + std::to_string(n)), runs[n]);
    twins.plain.files.push_back(open_input(dir.file("run" + std::to_string(n)), InputMode::map));
  }
  return twins;
}

// Opens the files of the boxes, three for each member where there are so many.
void open_boxes(const TempDir& dir, Job& job, const std::function<InputMode()>& mode) {
  job.files.clear();
  for (std::size_t f = 0; f < 3 * job.inputs; ++f) {
    const std::string path = dir.file("box" + std::to_string(f));
    job.files.push_back(open_input(std::filesystem::exists(path) ? path : dir.file("run0"), mode()));
  }
}

EngineOptions options_for(Random& random, std::size_t inputs, std::size_t outputs) {
  EngineOptions options;
  options.threads = 1 + below(random, 4);
  options.memory_bytes = std::uint64_t{64} << 20;
  options.max_inputs = inputs;
  options.max_outputs = std::max<std::size_t>(outputs, 1);
  options.gathers = true;
  options.reads = true;
  options.tile_bytes = pick<std::size_t>(random, {0, 8, 40, 1001, 65536});
  options.request_bytes = pick<std::size_t>(random, {0, 8, 1001, 70000});
  options.requests_in_flight = 3;
  options.drop_cache = below(random, 2) == 0;
  return options;
}

std::function<InputMode()> some_mode(Random& random) {
  const std::uint64_t kind = below(random, 3);
  return [&random, kind] { return kind == 0 || (kind == 2 && below(random, 2) == 0) ? InputMode::read : InputMode::map; };
}

std::vector<std::shared_ptr<Output>> open_outputs(const TempDir& dir, const char* name, const std::vector<std::uint64_t>& bytes) {
  std::vector<std::shared_ptr<Output>> outputs;
  for (std::size_t k = 0; k < bytes.size(); ++k) outputs.push_back(open_output(dir.file(name + std::to_string(k)), bytes[k], std::filesystem::exists(dir.file(name + std::to_string(k)))));
  return outputs;
}

void sums_as_of_runs(std::uint32_t seed) {
  Random random(seed);
  const TempDir dir;
  Shape shape{1 + below(random, 4), 1 + below(random, 2), {}, {}};
  for (std::uint64_t s = 0; s <= below(random, 4); ++s) {
    shape.count.push_back(pick<std::uint64_t>(random, {1, 63, 700, 5000, 30011}));
    shape.copied.push_back(below(random, 3) == 0 ? static_cast<int>(below(random, shape.inputs)) : -1);
  }
  auto twins = scattered_job<CombineJob>(random, dir, shape);
  std::vector<std::uint64_t> bytes(shape.outputs);
  CombineJob* const jobs[] = {&twins.boxed, &twins.plain};
  for (std::size_t s = 0; s < shape.count.size(); ++s) {
    for (std::size_t k = 0; k < shape.outputs; ++k) {
      const auto dtype = pick<std::uint8_t>(random, {kBF16, kF16, kF32, kF64, kF8E5M2Code});
      for (CombineJob* job : jobs) {
        job->out_offset.push_back(bytes[k]);
        job->out_dtype.push_back(dtype);
      }
      bytes[k] += shape.count[s] * (shape.copied[s] >= 0 ? 1 : float_size(dtype));
    }
  }
  std::vector<double> weights(shape.outputs * shape.inputs);
  for (double& weight : weights) weight = below(random, 5) == 0 ? 0 : 0.1 * static_cast<double>(1 + below(random, 20)) - 1.05;
  for (std::size_t k = 0; k < shape.outputs; ++k) weights[k * shape.inputs] = 0.7;
  for (CombineJob* job : jobs) {
    job->weights = weights;
    job->cell = {0};
    for (std::size_t s = 0; s < shape.count.size(); ++s) {
      job->table.push_back(shape.copied[s] >= 0 ? -1 - shape.copied[s] : 0);
      job->cell_end.push_back(shape.count[s]);
      job->cell.push_back(static_cast<std::int32_t>(s) + 1);
    }
  }
  twins.plain.outputs = open_outputs(dir, "plain", bytes);
  CombineResult want;
  Status status = combine(*make_engine(options_for(random, shape.inputs, shape.outputs)), twins.plain, &want);
  CHECK_THAT(status.ok(), status.message);
  for (int round = 0; round < 3; ++round) {
    open_boxes(dir, twins.boxed, some_mode(random));
    twins.boxed.outputs = open_outputs(dir, "boxed", bytes);
    CombineResult got;
    status = combine(*make_engine(options_for(random, shape.inputs, shape.outputs)), twins.boxed, &got);
    CHECK_THAT(status.ok(), "seed " + std::to_string(seed) + ": " + status.message);
    CHECK(got.bytes_read == want.bytes_read && got.bytes_written == want.bytes_written);
    CHECK(got.written.crc == want.written.crc && got.written.length == want.written.length);
    CHECK(got.nonfinite.size() == want.nonfinite.size());
    for (std::size_t k = 0; k < shape.outputs; ++k) {
      const bool same = read_file(dir.file("boxed" + std::to_string(k))) == read_file(dir.file("plain" + std::to_string(k)));
      CHECK_THAT(same, "seed " + std::to_string(seed) + " output " + std::to_string(k));
    }
  }
}

void products_as_of_runs(std::uint32_t seed) {
  Random random(seed);
  const TempDir dir;
  Shape shape{1 + below(random, 4), 0, {}, {}};
  for (std::uint64_t s = 0; s <= below(random, 3); ++s) {
    shape.count.push_back(pick<std::uint64_t>(random, {1, 700, kSpan, 2 * kSpan + 77}));
    shape.copied.push_back(-1);
  }
  auto twins = scattered_job<GramJob>(random, dir, shape);
  twins.boxed.steps = twins.plain.steps = true;
  open_boxes(dir, twins.boxed, some_mode(random));
  EngineOptions options = options_for(random, shape.inputs, 0);
  options.request_bytes = 0;
  const auto engine = make_engine(options);
  GramResult want;
  GramResult got;
  CHECK(gram(*engine, twins.plain, &want).ok());
  const Status status = gram(*engine, twins.boxed, &got);
  CHECK_THAT(status.ok(), status.message);
  CHECK(got.bytes_read == want.bytes_read);
  const bool same = got.sums.size() == want.sums.size() && std::memcmp(got.sums.data(), want.sums.data(), want.sums.size() * sizeof(double)) == 0;
  CHECK_THAT(same, "seed " + std::to_string(seed));
}

// A mean of one input of 6 x 4 bf16: two boxes above, one below.
CombineJob small_job(const TempDir& dir, InputMode mode = InputMode::map) {
  CombineJob job = mean_job({open_input(dir.file("a"), mode), open_input(dir.file("b"), mode)}, {open_output(dir.file("out"), 48, std::filesystem::exists(dir.file("out")))}, 24);
  job.inputs = 1;
  job.file = {-1};
  job.offset = {0};
  job.dtype = {kBF16};
  job.weights = {1};
  job.boxes.first = {0, 3};
  job.boxes.columns = {4};
  job.boxes.start = {0};
  job.boxes.row = {0, 0, 2};
  job.boxes.rows = {2, 2, 4};
  job.boxes.column = {0, 1, 0};
  job.boxes.width = {1, 3, 4};
  job.boxes.file = {0, 1, 1};
  job.boxes.offset = {0, 1, 13};
  job.boxes.row_stride = {2, 6, 8};
  return job;
}

void hostile_boxes_are_refused() {
  const TempDir dir;
  write_file(dir.file("a"), random_bytes(4, 1));
  write_file(dir.file("b"), random_bytes(13 + 32, 2));
  EngineOptions options;
  options.gathers = true;
  options.max_inputs = 2;
  const auto engine = make_engine(options);
  CombineResult result;
  const Status sound = combine(*engine, small_job(dir), &result);
  CHECK_THAT(sound.ok(), sound.message);
  const std::uint64_t huge = ~std::uint64_t{0};
  const std::vector<std::pair<const char*, std::function<void(CombineJob&)>>> hostile = {
      {"a gap in a band", [](CombineJob& job) { job.boxes.column[1] = 2; job.boxes.width[1] = 2; }},
      {"an overlap in a band", [](CombineJob& job) { job.boxes.width[0] = 2; }},
      {"a band that is too narrow", [](CombineJob& job) { job.boxes.width[1] = 2; }},
      {"a last band that is too narrow", [](CombineJob& job) { job.boxes.width[2] = 3; }},
      {"a band that is too wide", [](CombineJob& job) { job.boxes.width[2] = 5; }},
      {"a width that overflows", [=](CombineJob& job) { job.boxes.width[1] = huge; }},
      {"a column that overflows", [=](CombineJob& job) { job.boxes.column[1] = huge; }},
      {"bands apart", [](CombineJob& job) { job.boxes.row[2] = 3; }},
      {"bands across each other", [](CombineJob& job) { job.boxes.row[2] = 1; }},
      {"boxes of a band of different heights", [](CombineJob& job) { job.boxes.rows[1] = 1; }},
      {"boxes of a band that begin in different rows", [](CombineJob& job) { job.boxes.row[1] = 1; }},
      {"boxes of a band out of order", [](CombineJob& job) {
         std::swap(job.boxes.column[0], job.boxes.column[1]);
         std::swap(job.boxes.width[0], job.boxes.width[1]);
       }},
      {"bands out of order", [](CombineJob& job) {
         job.boxes.row = {2, 0, 0};
         job.boxes.rows = {4, 2, 2};
         job.boxes.column = {0, 0, 1};
         job.boxes.width = {4, 1, 3};
         job.boxes.file = {1, 0, 1};
         job.boxes.offset = {13, 0, 1};
         job.boxes.row_stride = {8, 2, 6};
       }},
      {"a box of no rows", [](CombineJob& job) { job.boxes.rows[2] = 0; }},
      {"a band of no rows", [](CombineJob& job) { job.boxes.rows[0] = job.boxes.rows[1] = 0; }},
      {"a box of no columns", [](CombineJob& job) { job.boxes.width[0] = 0; job.boxes.column[1] = 0; job.boxes.width[1] = 4; }},
      {"a grid of no columns", [](CombineJob& job) { job.boxes.columns[0] = 0; }},
      {"columns that overflow", [=](CombineJob& job) { job.boxes.columns[0] = huge; }},
      {"rows that end too early", [](CombineJob& job) { job.boxes.rows[2] = 3; }},
      {"rows that begin too late", [](CombineJob& job) {
         job.boxes.row = {1, 1, 3};
       }},
      {"rows that overflow", [=](CombineJob& job) { job.boxes.rows[2] = huge; }},
      {"rows that overflow in the grid alone", [](CombineJob& job) { job.boxes.rows[2] = (std::uint64_t{1} << 62) + 4; job.boxes.row_stride[2] = 0; }},
      {"a row that overflows", [=](CombineJob& job) { job.boxes.row = {huge - 1, huge - 1, 0}; }},
      {"a start beyond the rows", [](CombineJob& job) { job.boxes.start[0] = 1; }},
      {"a start that overflows", [=](CombineJob& job) { job.boxes.start[0] = huge - 23; }},
      {"a count beyond the rows", [](CombineJob& job) { job.count[0] = job.cell_end[0] = 25; }},
      {"a file that is not there", [](CombineJob& job) { job.boxes.file[1] = 2; }},
      {"no file", [](CombineJob& job) { job.boxes.file[1] = -1; }},
      {"an offset beyond the file", [](CombineJob& job) { job.boxes.offset[0] = 1; }},
      {"an offset that overflows", [=](CombineJob& job) { job.boxes.offset[0] = huge; }},
      {"a row beyond the file", [](CombineJob& job) { job.boxes.row_stride[2] = 9; }},
      {"a stride that overflows", [=](CombineJob& job) { job.boxes.row_stride[2] = huge / 3 + 1; }},
      {"a wider dtype", [](CombineJob& job) { job.dtype[0] = kF32; }},
      {"boxes that begin before 0", [](CombineJob& job) { job.boxes.first[0] = -1; }},
      {"boxes that do not begin at 0", [](CombineJob& job) { job.boxes.first[0] = 1; }},
      {"boxes that run backwards", [](CombineJob& job) { job.boxes.first = {0, -1}; }},
      {"boxes that are not there", [](CombineJob& job) { job.boxes.first[1] = 4; }},
      {"boxes of nobody", [](CombineJob& job) { job.boxes.first[1] = 2; }},
      {"no boxes, and no file", [](CombineJob& job) { job.boxes = {}; }},
      {"boxes without inputs", [](CombineJob& job) { job.boxes.first.clear(); }},
      {"a column that is too short", [](CombineJob& job) { job.boxes.offset.pop_back(); }},
      {"inputs that are too few", [](CombineJob& job) { job.boxes.columns.clear(); }},
  };
  for (const auto& [what, spoil] : hostile) {
    CombineJob job = small_job(dir);
    spoil(job);
    CHECK_THAT(combine(*engine, job, &result).code == Code::invalid_arg, what);
  }
  CHECK(combine(*make_engine({}), small_job(dir), &result).code == Code::invalid_arg);  // made without gathers
}

// Whatever numbers stand in a job: it is refused, or its boxes are where it says, in their files (the address
// sanitizer sees).
void damaged_boxes_are_refused_or_read(std::uint32_t seed) {
  Random random(seed);
  const TempDir dir;
  write_file(dir.file("a"), random_bytes(4, 1));
  write_file(dir.file("b"), random_bytes(13 + 32, 2));
  EngineOptions options;
  options.gathers = options.reads = true;
  options.max_inputs = 1;
  options.threads = 1;
  const auto engine = make_engine(options);
  const CombineJob sound = small_job(dir);
  int refused = 0;
  constexpr int kTimes = 2000;
  for (int time = 0; time < kTimes; ++time) {
    CombineJob job = sound;
    Boxes& boxes = job.boxes;
    for (std::uint64_t damages = 1 + below(random, 3); damages > 0; --damages) {
      std::vector<std::uint64_t>* fields[] = {&boxes.columns, &boxes.start, &boxes.row, &boxes.rows, &boxes.column, &boxes.width, &boxes.offset, &boxes.row_stride};
      std::vector<std::uint64_t>& field = *fields[below(random, std::size(fields))];
      std::uint64_t& value = field[below(random, field.size())];
      switch (below(random, 4)) {
        case 0: value = pick<std::uint64_t>(random, {0, 1, 2, 3, 7, 1u << 20, ~std::uint64_t{0} >> 1, ~std::uint64_t{0} - 1, ~std::uint64_t{0}}); break;
        case 1: value += below(random, 5) - 2; break;
        case 2: value = std::uint64_t{1} << below(random, 64); break;
        default: boxes.file[below(random, boxes.file.size())] = static_cast<std::int32_t>(below(random, 4)) - 1;
      }
      if (below(random, 8) == 0) boxes.first[below(random, boxes.first.size())] = static_cast<std::int32_t>(below(random, 6)) - 1;
      if (below(random, 8) == 0) job.count[0] = job.cell_end[0] = 1 + below(random, 30);
    }
    CombineResult result;
    const Status status = combine(*engine, job, &result);
    CHECK_THAT(status.ok() || status.code == Code::invalid_arg, status.message);
    refused += status.ok() ? 0 : 1;
  }
  CHECK(refused > kTimes / 4 && refused < kTimes);
}

void lost_files_fail_the_call() {
  constexpr std::uint64_t kRows = 2048;
  constexpr std::uint64_t kColumns = 1024;
  for (const InputMode mode : {InputMode::map, InputMode::read}) {
    const TempDir dir;
    for (const char* name : {"a", "b", "c"}) write_file(dir.file(name), std::vector<std::uint8_t>(kRows * kColumns, 0x3c));
    EngineOptions options;
    options.threads = 3;
    options.max_inputs = 2;
    options.gathers = options.reads = true;
    const auto engine = make_engine(options);
    const auto output = open_output(dir.file("out"), kRows * kColumns * 2);
    CombineJob job = mean_job({open_input(dir.file("a"), mode), open_input(dir.file("b"), mode), open_input(dir.file("c"), mode)}, {output}, kRows * kColumns);
    job.inputs = 1;
    job.file = {-1};
    job.offset = {0};
    job.dtype = {kBF16};
    job.weights = {1};
    job.boxes.first = {0, 2};
    job.boxes.columns = {kColumns};
    job.boxes.start = {0};
    job.boxes.row = {0, 0};
    job.boxes.rows = {kRows, kRows};
    job.boxes.column = {0, kColumns / 2};
    job.boxes.width = {kColumns / 2, kColumns / 2};
    job.boxes.file = {0, 2};
    job.boxes.offset = {0, 0};
    job.boxes.row_stride = {kColumns, kColumns};
    CombineResult result;
    std::int32_t cancel = 1;
    job.cancel = &cancel;
    CHECK(combine(*engine, job, &result).code == Code::cancelled);
    job.cancel = nullptr;
    CHECK(combine(*engine, job, &result).ok());
    CHECK(read_file(dir.file("out")) == std::vector<std::uint8_t>(kRows * kColumns * 2, 0x3c));
    CHECK(truncate(dir.file("c").c_str(), 70000) == 0);
    const Status status = combine(*engine, job, &result);
    CHECK_THAT(status.code == Code::input_changed && status.file == 2, status.message);
    job.boxes.file = {0, 1};
    if (mode == InputMode::read) CHECK(combine(*engine, job, &result).ok());
  }
}

void memory_is_counted() {
  EngineOptions options;
  options.threads = 4;
  options.max_inputs = 10;
  options.memory_bytes = std::uint64_t{256} << 20;
  const std::uint64_t without = make_engine(options)->shape().buffer_bytes;
  options.gathers = true;
  const EngineShape with = make_engine(options)->shape();
  CHECK(with.buffer_bytes == without + 4 * 10 * with.gather_bytes);
  options.memory_bytes = std::uint64_t{6} << 20;
  const EngineShape small = make_engine(options)->shape();
  CHECK(small.buffer_bytes <= options.memory_bytes && small.tile_bytes < with.tile_bytes);
}

}  // namespace

int main() {
  for (std::uint32_t seed = 1; seed <= 30; ++seed) sums_as_of_runs(seed);
  for (std::uint32_t seed = 1; seed <= 10; ++seed) products_as_of_runs(seed);
  hostile_boxes_are_refused();
  for (std::uint32_t seed = 1; seed <= 3; ++seed) damaged_boxes_are_refused_or_read(seed);
  lost_files_fail_the_call();
  memory_is_counted();
  return finish("gather");
}
