#include "input.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <new>

namespace ckpt {
namespace {

std::uint64_t page_bytes() {
  static const auto size = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// O_NONBLOCK: a FIFO must not hang the open.
int open_for_reading(const std::string& path) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// What a limit of the address space (ulimit -v) must leave when an input is mapped, for buffers, stacks and
// the heap of the host: V8 ends the process when it cannot grow.
constexpr std::size_t kAddressReserve = std::size_t{768} << 20;

bool leaves_room() {
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return true;
  void* room = mmap(nullptr, kAddressReserve, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
  if (room == MAP_FAILED) return false;
  munmap(room, kAddressReserve);
  return true;
}

// A mapping of the whole file, or MAP_FAILED.
void* map_whole(int fd, std::size_t length) {
  void* base = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED || leaves_room()) return base;
  munmap(base, length);
  return MAP_FAILED;
}

}  // namespace

FileStat describe(const struct stat& from) {
#if defined(__APPLE__)
  const auto& modified = from.st_mtimespec;
  const auto& changed = from.st_ctimespec;
#else
  const auto& modified = from.st_mtim;
  const auto& changed = from.st_ctim;
#endif
  FileStat to;
  to.size = static_cast<std::uint64_t>(from.st_size);
  to.dev = static_cast<std::uint64_t>(from.st_dev);
  to.ino = static_cast<std::uint64_t>(from.st_ino);
  to.mtime_ns = static_cast<std::int64_t>(modified.tv_sec) * 1000000000 + modified.tv_nsec;
  to.ctime_ns = static_cast<std::int64_t>(changed.tv_sec) * 1000000000 + changed.tv_nsec;
  return to;
}

Status Input::open(const std::string& path, InputMode wanted, std::shared_ptr<Input>* opened) {
  std::shared_ptr<Input> input(new (std::nothrow) Input());
  if (input == nullptr) return failure(Code::no_memory, "no memory for an input");
  input->path_ = path;
  input->fd_ = open_for_reading(path);
  if (input->fd_ < 0) return system_failure("open", errno, "cannot open the input");
  struct stat found;
  if (fstat(input->fd_, &found) != 0) return system_failure("fstat", errno, "cannot stat the input");
  if (!S_ISREG(found.st_mode)) return system_failure("open", S_ISDIR(found.st_mode) ? EISDIR : EINVAL, "the input is not a regular file");
  input->stat_ = describe(found);
  if (wanted == InputMode::map) {
    const auto length = static_cast<std::size_t>(input->stat_.size);
    void* base = length == 0 ? nullptr : map_whole(input->fd_, length);
    if (base != MAP_FAILED) {
      install_fault_handler();
      input->mapping_.base = static_cast<const std::uint8_t*>(base);
      input->mapping_.length = length;
      input->mode_ = InputMode::map;
      ::close(input->fd_);
      input->fd_ = -1;
    }
  }
  *opened = std::move(input);
  return {};
}

Input::~Input() {
  if (mapping_.base != nullptr) munmap(const_cast<std::uint8_t*>(mapping_.base), mapping_.length);
  // The cache gives up a large folio only when all of it is dropped at once: those across the edges of two
  // chunks are still there.
  if (!absent_.empty()) drop_from_cache(0, stat_.size);
  if (fd_ >= 0) ::close(fd_);
}

Status Input::read(std::uint64_t offset, void* to, std::size_t size) const {
  auto* at = static_cast<std::uint8_t*>(to);
  while (size != 0) {
    const ssize_t got = pread(fd_, at, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure("pread", errno, "cannot read the input");
    if (got == 0) return failure(Code::input_changed, "the input ended before its data");
    at += got;
    offset += static_cast<std::uint64_t>(got);
    size -= static_cast<std::size_t>(got);
  }
  return {};
}

Status Input::poison_reason() const {
  struct stat now;
  if (::stat(path_.c_str(), &now) == 0) {
    const FileStat same = describe(now);
    const bool unchanged = same.size == stat_.size && same.dev == stat_.dev && same.ino == stat_.ino && same.mtime_ns == stat_.mtime_ns;
    if (unchanged) return system_failure("mmap", EIO, "a page of the mapped input could not be read");
  }
  return failure(Code::input_changed, "the input became shorter while it was mapped");
}

Status first_poisoned(const std::vector<std::shared_ptr<Input>>& files) {
  // The fence keeps the loads of what was computed from passing that of the flag.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (std::size_t f = 0; f < files.size(); ++f) {
    if (!files[f]->mapping().poisoned.load()) continue;
    Status status = files[f]->poison_reason();
    status.file = static_cast<int>(f);
    return status;
  }
  return {};
}

std::vector<unsigned char> resident_pages(const std::uint8_t* base, std::size_t length) {
  std::vector<unsigned char> pages((length + page_bytes() - 1) / page_bytes());
#if defined(__APPLE__)
  char* out = reinterpret_cast<char*>(pages.data());
#else
  unsigned char* out = pages.data();
#endif
  if (pages.empty() || mincore(const_cast<std::uint8_t*>(base), length, out) != 0) pages.clear();
  return pages;
}

Status resident_bytes(const std::string& path, std::uint64_t* bytes) {
  *bytes = 0;
  std::shared_ptr<Input> input;
  const Status opened = Input::open(path, InputMode::map, &input);
  if (!opened.ok()) return opened;
  if (input->mode() != InputMode::map) return system_failure("mmap", ENOMEM, "cannot map the file");
  const std::uint64_t size = input->stat().size;
  std::uint64_t page = 0;
  for (const unsigned char state : resident_pages(input->mapping().base, input->mapping().length)) {
    if ((state & 1) != 0) *bytes += std::min(page_bytes(), size - page * page_bytes());
    ++page;
  }
  return {};
}

void Input::remember_residency() {
  std::call_once(residency_once_, [this] {
    const auto length = static_cast<std::size_t>(stat_.size);
    if (length == 0) return;
    void* base = const_cast<std::uint8_t*>(mapping_.base);
    if (mode_ == InputMode::read) base = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd_, 0);
    if (base == MAP_FAILED) return;
    // In windows, so that the byte-a-page answer of the system stays small next to our bit a page.
    constexpr std::size_t kWindow = std::size_t{1} << 30;
    for (std::size_t from = 0; from < length; from += kWindow) {
      const auto pages = resident_pages(static_cast<std::uint8_t*>(base) + from, std::min(kWindow, length - from));
      if (pages.empty()) {
        absent_.clear();
        break;
      }
      for (const unsigned char state : pages) absent_.push_back((state & 1) == 0);
    }
    if (mode_ == InputMode::read) munmap(base, length);
  });
}

// Whether much of the mapped file has to come from the device, by a sample taken before the first use.
bool Input::is_cold() {
  std::call_once(cold_once_, [this] {
    constexpr std::uint64_t kSamples = 64;
    const std::uint64_t pages = mapping_.length / page_bytes();
    std::uint64_t absent = 0;
    for (std::uint64_t i = 0; i < std::min(kSamples, pages); ++i) {
      const auto state = resident_pages(mapping_.base + pages * i / kSamples * page_bytes(), page_bytes());
      if (!state.empty() && (state[0] & 1) == 0) ++absent;
    }
    cold_ = absent > kSamples / 8;
  });
  return cold_;
}

void Input::read_ahead(std::uint64_t offset, std::uint64_t size) {
  if (mode_ != InputMode::map || size == 0 || !is_cold()) return;
  const std::uint64_t begin = offset / page_bytes() * page_bytes();
  madvise(const_cast<std::uint8_t*>(mapping_.base) + begin, offset + size - begin, MADV_WILLNEED);
}

void Input::release(std::uint64_t offset, std::uint64_t size, std::uint64_t window, std::uint64_t reach, bool from_cache) {
  std::uint64_t begin = offset;
  std::uint64_t end = offset + size;
  {
    const std::lock_guard<std::mutex> lock(consumed_mutex_);
    const bool near = offset <= consumed_.end + reach && end + reach >= consumed_.begin;
    if (consumed_.begin == consumed_.end || near) {
      if (consumed_.begin != consumed_.end) {
        begin = std::min(begin, consumed_.begin);
        end = std::max(end, consumed_.end);
      }
      consumed_ = {begin, end};
      if (end - begin < window && end != stat_.size) return;
      if (end != stat_.size) end = whole_blocks(end);
      consumed_.begin = std::max(end, begin);
    } else {
      // Work goes on elsewhere in the file.
      std::swap(begin, consumed_.begin);
      std::swap(end, consumed_.end);
    }
  }
  // Whole pages only: those at the edges may be in use by a neighbour. (Where they are, or where a chunk
  // before `end` is still being computed, they are read again from the cache and released with the next
  // window.)
  begin = (begin + page_bytes() - 1) / page_bytes() * page_bytes();
  if (end != stat_.size) end = end / page_bytes() * page_bytes();
  if (begin >= end) return;
  if (mode_ == InputMode::map) madvise(const_cast<std::uint8_t*>(mapping_.base) + begin, end - begin, MADV_DONTNEED);
  if (from_cache && !absent_.empty() && end > reach) drop_later(begin - std::min(begin, reach), end - reach);
}

// Collects what is to leave the page cache, and has it leave in large pieces: a call costs much whatever its size. A
// page that left comes from the device again, so what other threads may still have in work stays out of it, and leaves
// with the next piece, or when the file is closed.
void Input::drop_later(std::uint64_t begin, std::uint64_t end) {
  constexpr std::uint64_t kPiece = std::uint64_t{32} << 20;
  {
    const std::lock_guard<std::mutex> lock(consumed_mutex_);
    const bool none = undropped_.begin == undropped_.end;
    if (!none && (begin > undropped_.end || end < undropped_.begin)) {
      std::swap(undropped_.begin, begin);
      std::swap(undropped_.end, end);
    } else {
      if (!none) {
        begin = std::min(begin, undropped_.begin);
        end = std::max(end, undropped_.end);
      }
      const bool enough = end - begin >= kPiece;
      undropped_ = {enough ? end : begin, end};
      if (!enough) return;
    }
  }
  drop_from_cache(begin, end);
}

// The file offset at or before `offset` where the processor's larger pages meet: cutting one in two costs far
// more than a page that stays for a while.
std::uint64_t Input::whole_blocks(std::uint64_t offset) const {
  constexpr std::uint64_t kBlock = std::uint64_t{2} << 20;
  const std::uint64_t past = (reinterpret_cast<std::uintptr_t>(mapping_.base) + offset) % kBlock;
  return offset > past ? offset - past : 0;
}

void Input::drop_from_cache(std::uint64_t begin, std::uint64_t end) const {
  if (mode_ == InputMode::read) {
    drop_absent(fd_, begin, end);
  } else if (const int fd = open_for_reading(path_); fd >= 0) {
    drop_absent(fd, begin, end);
    ::close(fd);
  }
}

void Input::drop_absent(int fd, std::uint64_t begin, std::uint64_t end) const {
#if defined(POSIX_FADV_DONTNEED)
  const std::uint64_t last = (end + page_bytes() - 1) / page_bytes();
  for (std::uint64_t page = begin / page_bytes(); page < last;) {
    std::uint64_t run = page;
    while (run < last && absent_[run]) ++run;
    if (run > page) {
      posix_fadvise(fd, static_cast<off_t>(page * page_bytes()), static_cast<off_t>((run - page) * page_bytes()), POSIX_FADV_DONTNEED);
    }
    page = run + 1;
  }
#else
  static_cast<void>(fd);
  static_cast<void>(begin);
  static_cast<void>(end);
#endif
}

}  // namespace ckpt
