// How long to wait before dialling again: doubled each time, with jitter, so that ten thousand
// workers do not come back in step. A value.
#pragma once

#include <algorithm>

#include "common/random.h"
#include "common/time.h"

namespace rackmark {

class Backoff {
 public:
  static constexpr Nanos kFirst = 50 * kMillisecond;
  static constexpr Nanos kMax = 2 * kSecond;

  explicit Backoff(uint64_t seed) : random_(seed, 0) {}
  // Between half of and the whole current delay.
  Nanos Next() {
    const Nanos delay = delay_;
    delay_ = std::min(kMax, delay_ * 2);
    return delay / 2 + static_cast<Nanos>(random_.Uniform() * static_cast<double>(delay) / 2);
  }
  void Reset() { delay_ = kFirst; }

 private:
  Random random_;
  Nanos delay_ = kFirst;
};

}  // namespace rackmark
