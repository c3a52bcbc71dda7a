#include "coordinator/store/lease_keeper.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/log.h"

namespace rackmark {

LeaseKeeper::LeaseKeeper(Options options) : options_(std::move(options)) {
  RACKMARK_CHECK(options_.interval > 0 && options_.leadership->term() != 0);
  threads_.emplace_back([this] { Renew(); });
  threads_.emplace_back([this] { Watch(); });
}

LeaseKeeper::~LeaseKeeper() { Stop(); }

void LeaseKeeper::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  moved_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void LeaseKeeper::Announce(const std::string& address) {
  {
    std::lock_guard lock(mutex_);
    address_ = address;
  }
  moved_.notify_all();
}

void LeaseKeeper::RenewNow() {
  {
    std::lock_guard lock(mutex_);
    const Nanos now = options_.clock->Boottime();
    if (asked_at_ && now - *asked_at_ < options_.interval / 2) return;
    asked_at_ = now;
    asked_ = true;
  }
  moved_.notify_all();
}

bool LeaseKeeper::Wait(Nanos timeout, bool early) {
  std::unique_lock lock(mutex_);
  moved_.wait_for(lock, std::chrono::nanoseconds(timeout),
                  [&] { return stopping_ || (early && (asked_ || !address_.empty())); });
  return !stopping_;
}

void LeaseKeeper::Lose(const absl::Status& status) {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(told_, true) || stopping_) return;
  }
  options_.lost(status);
}

void LeaseKeeper::Renew() {
  absl::Status status;
  // After a failure a whole interval, also while an address is still to be told.
  while (Wait(options_.interval, status.ok())) {
    std::string address;
    {
      std::lock_guard lock(mutex_);
      address = std::exchange(address_, {});
      asked_ = false;
    }
    status = options_.leadership->Renew(options_.clock->Boottime());
    if (status.ok() && !address.empty()) status = options_.leadership->Announce(address);
    if (status.ok()) continue;
    if (absl::IsFailedPrecondition(status)) return Lose(status);
    Log(LogLevel::kWarning, absl::StrCat("renewing the lead: ", status.message()));
    std::lock_guard lock(mutex_);
    if (address_.empty()) address_ = address;
  }
}

// CLOCK_BOOTTIME goes on in suspend, the wait does not: so whoever answers looks at leads_until
// too.
void LeaseKeeper::Watch() {
  while (true) {
    const Nanos left = options_.leadership->leads_until() - options_.clock->Boottime();
    if (left <= 0) {
      return Lose(absl::DeadlineExceededError(
          "the lead could not be renewed in time, so that another coordinator may have taken it"));
    }
    if (!Wait(left, false)) return;
  }
}

}  // namespace rackmark
