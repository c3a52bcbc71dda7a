#include "kernels/leader_waits.h"

#include <algorithm>

#include "common/status.h"

namespace rackmark {

LeaderWaits WaitsOf(size_t host, const std::vector<LeaderTimes>& all) {
  RACKMARK_CHECK(host < all.size());
  const Nanos way = std::min_element(all.begin(), all.end(), [](const auto& a, const auto& b) {
                      return a.meeting < b.meeting;
                    })->meeting;
  LeaderWaits waits;
  waits.of_host = all[host].meeting - way;
  for (const LeaderTimes& times : all) {
    waits.longest = std::max(waits.longest, times.spread + times.meeting - way);
  }
  return waits;
}

}  // namespace rackmark
