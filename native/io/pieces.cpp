#include "pieces.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "thread.h"

namespace ckpt {
namespace {

using Clock = std::chrono::steady_clock;

// From here on it is not the page cache that answers.
constexpr std::chrono::microseconds kSlow{100};

// O_NONBLOCK and O_NOCTTY: should the path have become something else since it was looked at.
Status open_regular(PiecesFile& file) {
  struct stat found;
  // Opening a FIFO waits for its writer, and opening a device can act on it.
  if (::stat(file.path.c_str(), &found) != 0) return system_failure("stat", errno, "cannot stat the file");
  if (!S_ISREG(found.st_mode)) return system_failure("open", S_ISDIR(found.st_mode) ? EISDIR : EINVAL, "not a regular file");
  do {
    file.fd = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  } while (file.fd < 0 && errno == EINTR);
  if (file.fd < 0) return system_failure("open", errno, "cannot open the file");
  return {};
}

Status look_at(PiecesFile& file) {
  struct stat found;
  if (fstat(file.fd, &found) != 0) return system_failure("fstat", errno, "cannot stat the file");
  if (!S_ISREG(found.st_mode)) return system_failure("open", S_ISDIR(found.st_mode) ? EISDIR : EINVAL, "not a regular file");
  file.stat = describe(found);
  return {};
}

Status read_piece(int fd, FilePiece& piece) {
  while (piece.count != piece.length) {
    const ssize_t got = pread(fd, piece.to + piece.count, piece.length - piece.count, static_cast<off_t>(piece.offset + piece.count));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure("pread", errno, "cannot read the file");
    if (got == 0) break;
    piece.count += static_cast<std::size_t>(got);
  }
  return {};
}

class Reading {
 public:
  explicit Reading(PiecesJob& job) : job_(job), files_(job.files.size()) {
    for (const FilePiece& piece : job.pieces) ++files_[piece.file].left;
    for (std::size_t f = 0; f < files_.size(); ++f) files_[f].ours = job.files[f].fd < 0;
  }

  ~Reading() {
    for (std::size_t f = 0; f < files_.size(); ++f) {
      if (files_[f].ours && job_.files[f].fd >= 0) ::close(job_.files[f].fd);
    }
  }

  Status run() {
    work(true);
    helpers_.clear();  // joins them
    return status_;
  }

 private:
  struct FileState {
    bool ours = false;
    bool opened = false;
    std::size_t left = 0;  // pieces that were not read
  };

  // Takes what is to be done, in its order: first all files are opened, at a time as well, then pieces are
  // read.
  void work(bool may_call_others) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (status_.ok() && next_ != files_.size() + job_.pieces.size()) {
      const std::size_t item = next_++;
      const std::size_t file = item < files_.size() ? item : job_.pieces[item - files_.size()].file;
      if (item >= files_.size()) opened_.wait(lock, [&] { return files_[file].opened || !status_.ok(); });
      if (!status_.ok()) return;
      lock.unlock();
      const auto start = Clock::now();
      Status status = __atomic_load_n(job_.cancel, __ATOMIC_RELAXED) != 0 ? failure(Code::cancelled, "cancelled") : perform(item, file);
      const bool slow = Clock::now() - start > kSlow;
      lock.lock();
      ended(item, file, status);
      if (slow && may_call_others && status_.ok() && helpers_.empty()) call_others();
    }
  }

  Status perform(std::size_t item, std::size_t file) {
    PiecesFile& of = job_.files[file];
    if (item >= files_.size()) return read_piece(of.fd, job_.pieces[item - files_.size()]);
    if (files_[file].ours) {
      const Status opened = open_regular(of);
      if (!opened.ok()) return opened;
    }
    return look_at(of);
  }

  void ended(std::size_t item, std::size_t file, Status& status) {
    FileState& state = files_[file];
    if (!status.ok()) {
      if (status.code != Code::cancelled) status.file = static_cast<int>(file);
      if (status_.ok() || item < failed_) {
        status_ = status;
        failed_ = item;
      }
      opened_.notify_all();
      return;
    }
    if (item < files_.size()) {
      state.opened = true;
      opened_.notify_all();
    } else {
      --state.left;
    }
    if (state.left != 0 || !state.opened || !state.ours) return;
    ::close(job_.files[file].fd);
    job_.files[file].fd = -1;
  }

  // The lock is held: they begin when the caller goes on waiting or reading.
  void call_others() {
    const std::size_t left = files_.size() + job_.pieces.size() - next_;
    const std::size_t wanted = std::min(job_.in_flight - 1, left);
    for (std::size_t i = 0; i < wanted; ++i) {
      Thread thread;
      // Fewer than were wanted are slower, and no failure.
      if (thread.start([this] { work(false); }) != 0) break;
      helpers_.push_back(std::move(thread));
    }
  }

  PiecesJob& job_;
  std::mutex mutex_;
  std::condition_variable opened_;
  std::vector<FileState> files_;
  std::size_t next_ = 0;  // files, then pieces
  std::size_t failed_ = 0;
  Status status_;
  std::vector<Thread> helpers_;
};

}  // namespace

Status read_pieces(PiecesJob& job) { return Reading(job).run(); }

}  // namespace ckpt
