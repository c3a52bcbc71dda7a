#include "coordinator/schedule/decide.h"

#include <algorithm>

namespace rackmark::schedule {
namespace {

// The sooner of two times of which either may be missing.
std::optional<Nanos> Sooner(std::optional<Nanos> a, std::optional<Nanos> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

std::optional<Nanos> NextPlanned(const Schedule& s, Nanos after) {
  const auto next = cron::Next(s.when, s.zone, after);
  if (!next) return std::nullopt;
  return PlannedStart(s, *next);
}

// The last instant whose planned start has come. A planned start is before the next instant, so it
// is one of the last two.
std::optional<Nanos> LastDue(const Schedule& s, Nanos now) {
  auto instant = cron::Prev(s.when, s.zone, now + 1);
  if (instant && PlannedStart(s, *instant) > now) instant = cron::Prev(s.when, s.zone, *instant);
  return instant;
}

// The last time at which the instant may begin.
std::optional<Nanos> Deadline(const Schedule& s, Nanos instant) {
  if (!s.starting_deadline) return std::nullopt;
  return PlannedStart(s, instant) + *s.starting_deadline;
}

// Notes the instants in (d.decided, upto] as missed, and as decided.
void Miss(const Schedule& s, Nanos upto, Decision& d) {
  const uint32_t count = cron::Count(s.when, s.zone, d.decided, upto, kMissedCountMax);
  if (count == 0) return;
  d.missed = Missed{*cron::Next(s.when, s.zone, d.decided), upto, std::min(count, kMissedCountMax),
                    count > kMissedCountMax};
  d.decided = upto;
}

std::optional<Held> HeldByBudget(const Schedule& s, const Situation& at, Nanos instant) {
  if (!s.budget) return std::nullopt;
  std::vector<Usage> usage = at.usage;
  for (Usage& job : usage) {
    // What is cancelled for this job takes no more.
    if (s.concurrency == Concurrency::kReplace && job.schedule == s.id) job.replaced = true;
  }
  const Night night = NightOf(*s.budget, at.now);
  if (Committed(night, usage, at.now) + s.cost.Most() <= s.budget->limit) return std::nullopt;
  return Held{instant, Hold::kBudget, night.end};
}

std::optional<Held> WhatHolds(const Schedule& s, const Situation& at, Nanos instant) {
  const Free free = FreeFrom(s.closed, at.now, s.cost.longest);
  if (free.at > at.now || !free.found) return Held{instant, Hold::kWindow, free.at};
  if (s.concurrency == Concurrency::kForbid && !at.running.empty()) {
    return Held{instant, Hold::kRunning, std::nullopt};
  }
  return HeldByBudget(s, at, instant);
}

}  // namespace

Decision Decide(const Schedule& s, const Situation& given) {
  Situation at = given;
  at.now = std::clamp(at.now, cron::kFirstInstant, cron::kLastInstant);
  Decision d;
  d.decided = at.decided;
  if (s.suspended) return d;
  const auto due = LastDue(s, at.now);
  if (!due || *due <= at.decided) {
    d.next = NextPlanned(s, at.decided);
    return d;
  }
  const auto deadline = Deadline(s, *due);
  d.next = NextPlanned(s, *due);
  if (deadline && at.now > *deadline) {
    Miss(s, *due, d);
    return d;
  }
  if (const auto before = cron::Prev(s.when, s.zone, *due); before && *before > d.decided) {
    Miss(s, *before, d);
  }
  d.held = WhatHolds(s, at, *due);
  if (d.held) {
    d.next = Sooner(d.next, d.held->until);
    if (deadline) d.next = Sooner(d.next, *deadline + 1);
    return d;
  }
  d.start = due;
  d.decided = *due;
  if (s.concurrency == Concurrency::kReplace) d.replaced = at.running;
  return d;
}

}  // namespace rackmark::schedule
