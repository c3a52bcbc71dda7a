// The rank's dead-man timer (PROTOCOL 2) as a pure decision: a rank whose daemon said nothing for
// dead_man_ns of CLOCK_BOOTTIME ends by itself. Every frame renews it.
#pragma once

#include "common/time.h"

namespace rackmark {

class DeadMan {
 public:
  // Until the daemon has named its own deadline, this one holds.
  static constexpr Nanos kBeforeInit = 30 * kSecond;

  explicit DeadMan(Nanos now) : last_frame_(now) {}

  void Frame(Nanos now) { last_frame_ = now; }
  void SetDeadline(Nanos dead_man_ns) { deadline_ = dead_man_ns; }
  bool Expired(Nanos now) const { return now - last_frame_ > deadline_; }
  // How long a poll may wait. At most a second: poll does not count time in suspend.
  Nanos Wait(Nanos now) const {
    const Nanos left = deadline_ - (now - last_frame_);  // the sum could be too large a number
    if (left < 0) return 0;
    return left < kSecond ? left : kSecond;
  }
  Nanos deadline() const { return deadline_; }

 private:
  Nanos deadline_ = kBeforeInit;
  Nanos last_frame_;
};

}  // namespace rackmark
