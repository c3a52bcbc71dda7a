// What a finished cluster's data folder says about when things happened, on one machine's
// CLOCK_MONOTONIC: the coordinator's events, and the ranks' own stamps in their samples. Read after
// the coordinator has ended. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"
#include "common/time.h"

namespace rackmark {

// Of one run on all its ranks; stamps of the ranks' processes.
struct RunTimes {
  uint64_t job = 0;
  Nanos prepared = 0;     // the last rank had prepared its workload
  Nanos first_began = 0;  // a rank's first step in the window
  Nanos all_began = 0;    // the last rank's first step
  Nanos all_ended = 0;    // the last rank's last step
  size_t ranks = 0;
};

// Of the coordinator's decisions about one job, when they were made, before they were on disk.
struct JobTimes {
  std::optional<Nanos> submitted, placed, go, active, preparing, measuring;
};

struct Timeline {
  std::map<uint64_t, JobTimes> jobs;  // by job; of its first run
  std::map<uint64_t, RunTimes> runs;  // by run, null workloads only
};

// `unix_minus_monotonic`: of this machine, measured when the cluster ran.
absl::StatusOr<Timeline> ReadTimeline(const std::string& coordinator_data,
                                      Nanos unix_minus_monotonic);

// "p50 3.1 ms, p95 4.0 ms (n = 59)"; "missing" without values.
std::string Spread(std::vector<Nanos> values);

}  // namespace rackmark
