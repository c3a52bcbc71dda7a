// What of a schedule is due now: a pure function of the schedule, what has been decided of it, and
// now. Whoever owns the state stores `decided` in the same event as what it did, and asks again at
// `next`, when a job of the schedule or under its budget ended, and when the schedule was changed.
// Asking oftener, or by another coordinator, or by a clock that was set back, begins nothing else.
//
// CronJob's rules. Of several instants that are due, only the last is begun, the others are missed
// (a coordinator was down, or what held them lasted). An instant is held, not missed, by a running
// job (Forbid), by a maintenance window and by a spent budget, as long as its starting deadline
// allows and no later one is due; then it is missed. Of a suspended schedule nothing is decided, so
// when it goes on the last instant begins if its deadline allows. An instant is decided once.
#pragma once

#include <optional>
#include <vector>

#include "coordinator/schedule/schedule.h"

namespace rackmark::schedule {

// What the decision rests on besides the schedule. `decided` is that of the last Decision, at first
// when the schedule was made or its expression or zone changed: nothing before it is ever due.
struct Situation {
  Nanos now = 0;
  Nanos decided = 0;
  std::vector<Nanos> running;  // instants of its jobs that have not ended
  std::vector<Usage> usage;    // jobs under its budget, where it has one
};

constexpr uint32_t kMissedCountMax = 100;

// Instants that will never begin. `count` stops at the limit: more = there are others between.
struct Missed {
  Nanos first = 0, last = 0;
  uint32_t count = 0;
  bool more = false;
  bool operator==(const Missed&) const = default;
};

enum class Hold { kRunning, kWindow, kBudget };

struct Held {
  Nanos instant = 0;
  Hold why = Hold::kRunning;
  std::optional<Nanos> until;  // when that is over by itself
  bool operator==(const Held&) const = default;
};

struct Decision {
  std::optional<Nanos> start;   // the instant whose job begins now: JobName is its key
  std::vector<Nanos> replaced;  // jobs to cancel for it (Replace)
  std::optional<Missed> missed;
  std::optional<Held> held;
  Nanos decided = 0;          // to be stored, with an event if it grew
  std::optional<Nanos> next;  // when to ask again if nothing else happens; none: never
  bool operator==(const Decision&) const = default;
};

Decision Decide(const Schedule& schedule, const Situation& situation);

}  // namespace rackmark::schedule
