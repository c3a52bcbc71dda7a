// What a call between hosts made each host wait, from durations alone: no two hosts' clocks are
// ever compared, so a leader learns of the others only how long it took to meet them all. Pure.
#pragma once

#include <cstddef>
#include <vector>

#include "common/time.h"

namespace rackmark {

// What each leader tells the others, of its own clock.
struct LeaderTimes {
  Nanos spread = 0;   // inside its host: first arrival to last arrival
  Nanos meeting = 0;  // its own arrival among the leaders until all their tokens were here
};

struct LeaderWaits {
  Nanos of_host = 0;  // this host's arrival to the last host's
  Nanos longest = 0;  // of any rank of the gang: first arrival to last arrival
};

// `all` are by host, one or more. The last host to arrive has nobody to wait for: what its meeting
// took is the messages' way, and everybody's meeting holds one. So the least meeting is taken off
// from each, and the last host's wait is 0.
LeaderWaits WaitsOf(size_t host, const std::vector<LeaderTimes>& all);

}  // namespace rackmark
