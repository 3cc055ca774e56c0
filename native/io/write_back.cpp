#include "write_back.h"

namespace ckpt {
namespace {

// Half of the promised bound of 1 GiB: the other half is for what has been written since and for the threads
// that are waiting here.
constexpr std::uint64_t kMostUnderWay = std::uint64_t{512} << 20;

}  // namespace

void WriteBack::written(const std::shared_ptr<Output>& output, std::uint64_t offset, std::uint64_t size) {
  if (!enabled_) return;
  output->start_write_back(offset, size);
  if (drop_) output->drop_after_sync();
  std::unique_lock<std::mutex> lock(mutex_);
  under_way_.push_back({output, offset, size});
  bytes_ += size;
  while (bytes_ > kMostUnderWay) {
    const Range oldest = std::move(under_way_.front());
    under_way_.pop_front();
    bytes_ -= oldest.size;
    lock.unlock();
    oldest.output->wait_write_back(oldest.offset, oldest.size);
    if (drop_) oldest.output->drop_cache(oldest.offset, oldest.size);
    lock.lock();
  }
}

}  // namespace ckpt
