#include "output.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <new>
#include <utility>

namespace ckpt {
namespace {

// A file beyond `ulimit -f` must be EFBIG, not the end of the process. Node ignores the signal already;
// another host may not.
void ignore_file_size_signal() {
  struct sigaction now;
  if (sigaction(SIGXFSZ, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL) signal(SIGXFSZ, SIG_IGN);
}

bool not_supported(int error) { return error == EOPNOTSUPP || error == ENOTSUP || error == ENOSYS || error == EINVAL; }

// Space for the whole file, so that a full disk is noticed before any work. 0 or errno.
int preallocate(int fd, off_t bytes) {
#if defined(__linux__)
  // The system call itself: glibc's posix_fallocate writes zeros where the file system has no fallocate.
  int result = 0;
  do {
    result = fallocate(fd, 0, 0, bytes);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
#elif defined(__APPLE__)
  fstore_t store = {};
  store.fst_flags = F_ALLOCATECONTIG | F_ALLOCATEALL;
  store.fst_posmode = F_PEOFPOSMODE;
  store.fst_length = bytes;
  // space is reserved, the size is set by ftruncate
  if (fcntl(fd, F_PREALLOCATE, &store) == 0) return EOPNOTSUPP;
  store.fst_flags = F_ALLOCATEALL;
  if (fcntl(fd, F_PREALLOCATE, &store) == 0) return EOPNOTSUPP;
  return errno == ENOSPC ? ENOSPC : EOPNOTSUPP;
#else
  static_cast<void>(fd);
  static_cast<void>(bytes);
  return ENOSYS;
#endif
}

Status size_file(int fd, std::uint64_t bytes) {
  struct stat now;
  if (fstat(fd, &now) != 0) return system_failure("fstat", errno, "cannot stat the output");
  if (!S_ISREG(now.st_mode)) return system_failure("open", EINVAL, "the output is not a regular file");
  // Whatever else has the file under another name would be changed with it.
  if (now.st_nlink > 1) return system_failure("open", EMLINK, "the output has a second name (a hard link)");
  const auto size = static_cast<off_t>(bytes);
  if (size > now.st_size || now.st_size == 0) {
    const int error = size == 0 ? EOPNOTSUPP : preallocate(fd, size);
    if (error == 0) return {};
    if (!not_supported(error)) return system_failure("fallocate", error, "cannot reserve space for the output");
  }
  if (now.st_size != size && ftruncate(fd, size) != 0) return system_failure("ftruncate", errno, "cannot size the output");
  return {};
}

}  // namespace

Status Output::open(const std::string& path, std::uint64_t bytes, bool reopen, std::shared_ptr<Output>* opened) {
  ignore_file_size_signal();
  std::shared_ptr<Output> output(new (std::nothrow) Output());
  if (output == nullptr) return failure(Code::no_memory, "no memory for an output");
  // O_NOFOLLOW: a name that somebody put there leads nowhere.
  const int flags = O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | (reopen ? 0 : O_CREAT | O_EXCL);
  do {
    output->fd_ = ::open(path.c_str(), flags, 0666);
  } while (output->fd_ < 0 && errno == EINTR);
  if (output->fd_ < 0) return system_failure("open", errno, reopen ? "cannot open the output" : "cannot create the output");
  const Status sized = size_file(output->fd_, bytes);
  if (!sized.ok()) {
    if (!reopen) unlink(path.c_str());
    return sized;
  }
  output->size_ = bytes;
  *opened = std::move(output);
  return {};
}

Output::~Output() {
  if (fd_ >= 0) ::close(fd_);
}

Status Output::write(std::uint64_t offset, const void* data, std::size_t size) const {
  const auto* at = static_cast<const std::uint8_t*>(data);
  while (size != 0) {
    const ssize_t written = pwrite(fd_, at, size, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return system_failure("pwrite", errno, "cannot write the output");
    if (written == 0) return system_failure("pwrite", ENOSPC, "the output takes no more bytes");
    at += written;
    offset += static_cast<std::uint64_t>(written);
    size -= static_cast<std::size_t>(written);
  }
  return {};
}

Status Output::sync() const {
#if defined(__APPLE__)
  // fsync leaves the data in the drive's own cache there; file systems without F_FULLFSYNC get the plain
  // call.
  if (fcntl(fd_, F_FULLFSYNC) == 0) return {};
#endif
  if (fsync(fd_) != 0) return system_failure("fsync", errno, "cannot flush the output to the device");
  if (drop_after_sync_.load(std::memory_order_relaxed)) drop_cache(0, size_);
  return {};
}

Status Output::close() {
  const std::lock_guard<std::mutex> lock(closing_);
  close_wanted_ = true;
  return uses_ == 0 ? close_descriptor() : Status();
}

Status Output::close_descriptor() {
  const int fd = fd_.exchange(-1);
  // After EINTR the descriptor is gone on Linux and macOS; closing again could hit another file.
  if (fd >= 0 && ::close(fd) != 0 && errno != EINTR) return system_failure("close", errno, "cannot close the output");
  return {};
}

OutputUse::OutputUse(std::shared_ptr<Output> output) : output_(std::move(output)) {
  const std::lock_guard<std::mutex> lock(output_->closing_);
  ++output_->uses_;
}

OutputUse::~OutputUse() {
  const std::lock_guard<std::mutex> lock(output_->closing_);
  if (--output_->uses_ == 0 && output_->close_wanted_) static_cast<void>(output_->close_descriptor());
}

void Output::start_write_back(std::uint64_t offset, std::uint64_t size) const {
#if defined(__linux__)
  const std::lock_guard<std::mutex> lock(closing_);
  sync_file_range(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), SYNC_FILE_RANGE_WRITE);
#else
  static_cast<void>(offset);
  static_cast<void>(size);
#endif
}

void Output::wait_write_back(std::uint64_t offset, std::uint64_t size) const {
#if defined(__linux__)
  const std::lock_guard<std::mutex> lock(closing_);
  sync_file_range(fd_, static_cast<off_t>(offset), static_cast<off_t>(size),
                  SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
#else
  static_cast<void>(offset);
  static_cast<void>(size);
#endif
}

void Output::drop_cache(std::uint64_t offset, std::uint64_t size) const {
#if defined(POSIX_FADV_DONTNEED)
  const std::lock_guard<std::mutex> lock(closing_);
  posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_DONTNEED);
#else
  static_cast<void>(offset);
  static_cast<void>(size);
#endif
}

}  // namespace ckpt
