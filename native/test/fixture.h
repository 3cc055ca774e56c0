// Temporary files, seeded data and ready-made jobs for the tests of the core.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../cpu/dispatch.h"
#include "../ops/combine/combine.h"
#include "check.h"

namespace ckpt_test {

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "ckpt-core-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline void write_file(const std::string& path, const std::vector<std::uint8_t>& bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() || std::fclose(file) != 0) std::abort();
}

inline std::vector<std::uint8_t> read_file(const std::string& path) {
  std::vector<std::uint8_t> bytes(std::filesystem::file_size(path));
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr || std::fread(bytes.data(), 1, bytes.size(), file) != bytes.size()) std::abort();
  std::fclose(file);
  return bytes;
}

inline std::vector<std::uint8_t> random_bytes(std::size_t size, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::uint8_t> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

inline std::shared_ptr<ckpt::Input> open_input(const std::string& path, ckpt::InputMode mode) {
  std::shared_ptr<ckpt::Input> input;
  CHECK(ckpt::Input::open(path, mode, &input).ok());
  return input;
}

inline std::shared_ptr<ckpt::Output> open_output(const std::string& path, std::uint64_t bytes, bool reopen = false) {
  std::shared_ptr<ckpt::Output> output;
  CHECK(ckpt::Output::open(path, bytes, reopen, &output).ok());
  return output;
}

inline std::shared_ptr<ckpt::Engine> make_engine(const ckpt::EngineOptions& options) {
  std::string why;
  std::shared_ptr<ckpt::Engine> engine;
  CHECK(ckpt::Engine::create(options, *ckpt::choose_isa(nullptr, &why)->table, &engine).ok());
  return engine;
}

// One segment of `count` bf16 elements: every file a member of weight 1/N, every output the same sum.
inline ckpt::CombineJob mean_job(std::vector<std::shared_ptr<ckpt::Input>> files, std::vector<std::shared_ptr<ckpt::Output>> outputs, std::uint64_t count,
                          std::uint64_t first = 0) {
  ckpt::CombineJob job;
  const std::size_t n = files.size();
  const std::size_t k = outputs.size();
  job.files = std::move(files);
  job.outputs = std::move(outputs);
  job.segments = 1;
  job.inputs = n;
  job.count = {count};
  for (std::size_t i = 0; i < n; ++i) job.file.push_back(static_cast<std::int32_t>(i));
  job.offset.assign(n, first * 2);
  job.dtype.assign(n, ckpt::kBF16);
  job.out_offset.assign(k, first * 2);
  job.out_dtype.assign(k, ckpt::kBF16);
  job.table = {0};
  job.weights.assign(n * k, 1.0 / static_cast<double>(n));
  job.cell = {0, 1};
  job.cell_end = {count};
  return job;
}

}  // namespace ckpt_test
