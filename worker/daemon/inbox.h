// Where other threads leave work for the daemon's loop: small closures, and a descriptor that wakes
// its poll. Bounded by its senders: each gRPC call has at most one message, one written notice and
// one end in here. Post from any thread; Take on the loop thread.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "common/status.h"

namespace rackmark {

class Inbox {
 public:
  static constexpr size_t kItemsMax = 1024;

  Inbox() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { RACKMARK_CHECK(fd_ >= 0); }
  ~Inbox() { close(fd_); }
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  int fd() const { return fd_; }

  void Post(std::function<void()> work) {
    {
      std::lock_guard lock(mutex_);
      RACKMARK_CHECK(items_.size() < kItemsMax);
      items_.push_back(std::move(work));
    }
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t ignored = write(fd_, &one, sizeof one);
  }

  std::vector<std::function<void()>> Take() {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t ignored = read(fd_, &count, sizeof count);
    std::lock_guard lock(mutex_);
    return std::exchange(items_, {});
  }

 private:
  const int fd_;
  std::mutex mutex_;
  std::vector<std::function<void()>> items_;
};

}  // namespace rackmark
