// A fixed ring between one producer thread and one consumer thread: no lock, no allocation after
// construction, no system call. What does not fit is refused, for the caller to count (law 5).
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <vector>

namespace rackmark {

template <typename T>
class SpscRing {
 public:
  // Room for at least `capacity` items. All pages are touched here, not in the timed loop.
  explicit SpscRing(size_t capacity)
      : items_(std::bit_ceil(capacity < 2 ? 2 : capacity)), mask_(items_.size() - 1) {}

  // Producer. False if full.
  bool TryPush(const T& item) {
    const size_t head = head_.load(std::memory_order_relaxed);
    if (head - cached_tail_ == items_.size()) {
      cached_tail_ = tail_.load(std::memory_order_acquire);
      if (head - cached_tail_ == items_.size()) return false;
    }
    items_[head & mask_] = item;
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  // Consumer. False if empty.
  bool TryPop(T* item) {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return false;
    *item = items_[tail & mask_];
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  size_t capacity() const { return items_.size(); }

 private:
  std::vector<T> items_;
  const size_t mask_;
  // Producer and consumer write on cache lines of their own.
  alignas(64) std::atomic<size_t> head_{0};
  size_t cached_tail_ = 0;
  alignas(64) std::atomic<size_t> tail_{0};
};

}  // namespace rackmark
