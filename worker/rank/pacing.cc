#include "worker/rank/pacing.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace rackmark {

void SleepUntil(const Clock& clock, Nanos deadline, Nanos max) {
  const Nanos wait = std::min(deadline - clock.Monotonic(), max);
  if (wait > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(wait));
}

}  // namespace rackmark
