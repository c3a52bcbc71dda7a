// A queue between threads with a bound that it enforces and counts (law 5). Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "common/time.h"

namespace rackmark {

template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  // False if full (counted) or closed; the item is untouched then. A patient item may wait for
  // others as long as PopUpTo gathers.
  bool TryPush(T&& item, bool patient = false) {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    if (items_.size() >= capacity_) {
      ++refused_;
      return false;
    }
    items_.push_back(std::move(item));
    urgent_ = urgent_ || !patient;
    if (urgent_ || items_.size() >= enough_) ready_.notify_one();
    return true;
  }

  // All items, at most `max`, waiting until there is one, the queue is closed, or `wait` has
  // passed; if all that came are patient, `gather` longer for more (one consumer only): to wake for
  // a group costs as much as for one.
  std::vector<T> PopUpTo(size_t max, Nanos wait, Nanos gather = 0) {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, std::chrono::nanoseconds(wait),
                    [this] { return closed_ || !items_.empty(); });
    if (gather > 0 && !items_.empty()) {
      enough_ = max;
      ready_.wait_for(lock, std::chrono::nanoseconds(gather),
                      [&] { return closed_ || urgent_ || items_.size() >= max; });
      enough_ = 1;
    }
    std::vector<T> out;
    while (!items_.empty() && out.size() < max) {
      out.push_back(std::move(items_.front()));
      items_.pop_front();
    }
    if (items_.empty()) urgent_ = false;
    return out;
  }

  // Pushes fail from here on; what is inside can still be popped.
  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    ready_.notify_all();
  }
  bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }
  uint64_t refused() const {
    std::lock_guard lock(mutex_);
    return refused_;
  }
  size_t size() const {
    std::lock_guard lock(mutex_);
    return items_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<T> items_;
  size_t enough_ = 1;    // so many items wake the consumer
  bool urgent_ = false;  // an impatient item may be among them
  const size_t capacity_;
  uint64_t refused_ = 0;
  bool closed_ = false;
};

}  // namespace rackmark
