// A budget of node-hours for each night, and what jobs take of it. Pure; times are unix ns.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "cron/instants.h"

namespace rackmark::schedule {

struct ScheduleTag;  // this room's own, whatever else bears the name
using ScheduleId = Id<ScheduleTag>;

// Nodes times ns. A double holds it: 10,000 nodes for a month are 2.7e19 ns, over int64.
using NodeNanos = double;

constexpr Nanos kLongestMax = 31 * 24 * 3600 * kSecond;

// The most that one job holds.
struct Cost {
  uint32_t nodes = 1;
  Nanos longest = 3600 * kSecond;  // its time limit
  NodeNanos Most() const { return static_cast<NodeNanos>(nodes) * static_cast<NodeNanos>(longest); }
};

struct Budget {
  cron::Expression begins;  // of a night, which lasts until the next: "0 18 * * *"
  absl::TimeZone zone;
  NodeNanos limit = 0;
};

// A job under the budget, of this schedule or of others that share it.
struct Usage {
  ScheduleId schedule;
  Nanos began = 0;
  std::optional<Nanos> ended;  // none: it runs, and all that it may take is reserved
  Cost cost;
  bool replaced = false;  // it is being cancelled, so nothing beyond now is reserved
};

// The night that now is in: [begin, end), end none if no other night ever begins.
struct Night {
  Nanos begin = 0;
  std::optional<Nanos> end;
};
Night NightOf(const Budget& budget, Nanos now);

// What the jobs that began in the night took, and those that run may still take. A night pays for
// the whole of what begins in it.
NodeNanos Committed(const Night& night, const std::vector<Usage>& jobs, Nanos now);

std::string FormatNodeHours(NodeNanos node_nanos);

}  // namespace rackmark::schedule
