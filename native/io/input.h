// A read-only input file, mapped whole or read by position.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "fault_guard.h"
#include "status.h"

namespace ckpt {

enum class InputMode { map, read };

struct FileStat {
  std::uint64_t size = 0;
  std::uint64_t dev = 0;
  std::uint64_t ino = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
};

FileStat describe(const struct stat& from);

class Input {
 public:
  // Opens a regular file. A mapping that the system refuses falls back to reading; `mode()` says which it
  // became.
  static Status open(const std::string& path, InputMode wanted, std::shared_ptr<Input>* opened);
  ~Input();
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  InputMode mode() const { return mode_; }
  const FileStat& stat() const { return stat_; }
  Mapping& mapping() { return mapping_; }  // mode map

  // Reads exactly `size` bytes. A short read is Code::input_changed.
  Status read(std::uint64_t offset, void* to, std::size_t size) const;

  // Why the mapping was poisoned: Code::input_changed, or Code::io where the file is as it was and the device
  // must have failed.
  Status poison_reason() const;

  // Asks the system to read a range that will be used soon (mode map), where the file does not lie in the
  // page cache already. Best effort.
  void read_ahead(std::uint64_t offset, std::uint64_t size);
  // Notes which pages are in the page cache, once, before anything is touched. Best effort.
  void remember_residency();
  // Says that a range has been used. Once about `window` bytes of a stretch have been, their pages are given
  // back: ours (mode map), and with `from_cache` those of the page cache that were not there before. Not at
  // once, because each time every processor of the process has to forget the pages. Ranges at most `reach`
  // bytes apart are one stretch, with what lies between them.
  void release(std::uint64_t offset, std::uint64_t size, std::uint64_t window, std::uint64_t reach, bool from_cache);

 private:
  Input() = default;
  bool is_cold();
  std::uint64_t whole_blocks(std::uint64_t offset) const;
  void drop_later(std::uint64_t begin, std::uint64_t end);
  void drop_from_cache(std::uint64_t begin, std::uint64_t end) const;
  void drop_absent(int fd, std::uint64_t offset, std::uint64_t end) const;

  std::string path_;
  InputMode mode_ = InputMode::read;
  FileStat stat_;
  Mapping mapping_;
  int fd_ = -1;  // mode read; a mapping needs no descriptor
  std::once_flag cold_once_;
  bool cold_ = false;
  std::mutex consumed_mutex_;
  struct Stretch {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  Stretch consumed_;   // used and not given back yet
  Stretch undropped_;  // given back, and still in the page cache
  std::once_flag residency_once_;
  std::vector<bool> absent_;  // [pages] not resident before; empty = unknown
};

// The failure of the first file whose mapping has been poisoned: what was read from any of them until now may
// be zeros.
Status first_poisoned(const std::vector<std::shared_ptr<Input>>& files);

// Pages of a mapping range that are in the page cache, a byte each. Empty where the system does not say.
std::vector<unsigned char> resident_pages(const std::uint8_t* base, std::size_t length);

// Bytes of a file in the page cache.
Status resident_bytes(const std::string& path, std::uint64_t* bytes);

}  // namespace ckpt
