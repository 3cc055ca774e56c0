// The reading half of the engine: threads that keep positioned reads in flight and hand full slots to the
// computing threads.
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "engine.h"

namespace ckpt {

Engine::Requests::Requests(const Job& job, const ChunkPlan& plan, const Chunk& chunk, std::uint8_t* slot, std::size_t stride)
    : job_(&job), first_(plan.begin(chunk)), past_(plan.end(chunk)), slot_(slot), stride_(stride) {
  advance();
}

Engine::Request Engine::Requests::take() {
  const Request request = *upcoming_;
  advance();
  return request;
}

void Engine::Requests::advance() {
  upcoming_.reset();
  for (; n_ < job_->inputs; ++n_, ranges_.reset()) {
    if (!ranges_) {
      ranges_.emplace(*job_, first_, past_, n_, RangeWalk::Gaps::exact);
      to_ = slot_ + n_ * stride_;
    }
    for (Range range; ranges_->next(&range);) {
      std::uint8_t* to = to_;
      to_ += range.size;
      if (job_->files[range.file]->mode() != InputMode::read) continue;
      upcoming_ = Request{range, to};
      return;
    }
  }
}

void Engine::read_loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!closing_) {
    if (!take_request(lock)) read_.wait(lock);
  }
}

// Performs one request of the oldest call that has one; begins a chunk where a slot is free. False where
// there is nothing to do.
bool Engine::take_request(std::unique_lock<std::mutex>& lock) {
  for (Call* call : calls_) {
    if (!call->reads || call->stop.load()) continue;
    for (auto loading = call->loading.begin(); loading != call->loading.end(); ++loading) {
      if (loading->requests.done()) continue;
      perform(lock, *call, loading);
      return true;
    }
    if (call->next != call->plan.chunks.size() && !free_slots_.empty()) {
      if (begin_loading(*call)) read_.notify_all();
      return true;
    }
  }
  return false;
}

// Takes a slot for the next chunk and lists its requests. False where the chunk needs none or fails.
bool Engine::begin_loading(Call& call) {
  const Job& job = *call.job;
  Loading loading;
  loading.chunk = call.next++;
  loading.slot = free_slots_.back();
  free_slots_.pop_back();
  ++call.active;
  if (!loading.slot->reserve(shape_.request_bytes * options_.max_inputs)) {
    give_back_slot(loading);
    --call.active;
    fail(call, failure(Code::no_memory, "no memory for reads"));
    return false;
  }
  for (std::size_t n = 0; n < job.inputs; ++n) loading.loaded.push_back(loading.slot->data() + n * shape_.request_bytes);
  loading.requests = Requests(job, call.plan, call.plan.chunks[loading.chunk], loading.slot->data(), shape_.request_bytes);
  if (loading.requests.done()) {
    call.ready.push_back(std::move(loading));
    compute_.notify_one();
    return false;
  }
  call.loading.push_back(std::move(loading));
  return true;
}

void Engine::perform(std::unique_lock<std::mutex>& lock, Call& call, std::list<Loading>::iterator loading) {
  const Request request = loading->requests.take();
  ++loading->outstanding;
  lock.unlock();
  const auto start = std::chrono::steady_clock::now();
  if (options_.read_delay_micros != 0) usleep(static_cast<useconds_t>(options_.read_delay_micros));
  Status status;
  if (call.job->cancelled()) {
    status = failure(Code::cancelled, "cancelled");
  } else {
    status = call.job->files[request.range.file]->read(request.range.offset, request.to, static_cast<std::size_t>(request.range.size));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  lock.lock();
  call.read_seconds += seconds;
  --loading->outstanding;
  if (!status.ok() && status.code != Code::cancelled) status.file = static_cast<int>(request.range.file);
  if (!status.ok() || call.stop.load()) {
    fail(call, status);  // gives back the slot of this chunk too, once its last request has ended
  } else if (loading->outstanding == 0 && loading->requests.done()) {
    call.ready.splice(call.ready.end(), call.loading, loading);
    compute_.notify_one();
  }
}

void Engine::give_back_slot(Loading& loading) {
  free_slots_.push_back(loading.slot);
  loading.slot = nullptr;
  read_.notify_one();
}

}  // namespace ckpt
