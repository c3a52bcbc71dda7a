// Which ended jobs of a schedule its history limits let go of. Pure.
#pragma once

#include <vector>

#include "coordinator/schedule/schedule.h"

namespace rackmark::schedule {

struct EndedJob {
  Nanos instant = 0;
  bool successful = false;  // its verdict is PASS; all others count as failed
};

// The instants of the jobs beyond the limits, the oldest first: of each kind the latest are kept.
std::vector<Nanos> BeyondHistory(const std::vector<EndedJob>& jobs, const HistoryLimits& limits);

}  // namespace rackmark::schedule
