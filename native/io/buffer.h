// Anonymous memory straight from the system, so that giving it back really gives it back.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace ckpt {

class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr) munmap(data_, size_);
  }

  // Makes the buffer hold at least `size` bytes; contents are lost when it grows. False where the system has
  // no memory.
  bool reserve(std::size_t size) {
    if (size <= size_) return true;
    if (data_ != nullptr) munmap(data_, size_);
    void* fresh = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    data_ = fresh == MAP_FAILED ? nullptr : static_cast<std::uint8_t*>(fresh);
    size_ = data_ == nullptr ? 0 : size;
    return data_ != nullptr;
  }

  std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace ckpt
