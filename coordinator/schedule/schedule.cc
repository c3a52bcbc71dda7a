#include "coordinator/schedule/schedule.h"

#include <algorithm>

#include "absl/time/time.h"
#include "common/random.h"

namespace rackmark::schedule {
namespace {

template <typename... T>
absl::Status Wrong(const T&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status CheckClosed(const Schedule& s, Nanos now) {
  for (const Window& window : s.closed) {
    if (window.length <= 0 || window.length > kWindowMax) {
      return Wrong("a maintenance window is open for ", FormatDuration(window.length),
                   "; write up to 31 days");
    }
  }
  const Free free = FreeFrom(s.closed, now, s.cost.longest);
  if (free.found) return absl::OkStatus();
  return Wrong("maintenance windows leave no ", FormatDuration(s.cost.longest),
               " without one, so no job would start; shorten them, or the job");
}

absl::Status CheckBudget(const Schedule& s) {
  if (!s.budget) return absl::OkStatus();
  const NodeNanos most = s.cost.Most();
  if (s.budget->limit <= 0) return Wrong("budget is 0; write the node-hours that a night may have");
  if (most <= s.budget->limit) return absl::OkStatus();
  return Wrong("budget of ", FormatNodeHours(s.budget->limit), " node-hours is less than the ",
               FormatNodeHours(most),
               " that one job may hold, so no job would start; raise it, or shorten the job");
}

}  // namespace

absl::Status Check(const Schedule& s, Nanos now) {
  if (s.starting_deadline && *s.starting_deadline < kStartingDeadlineMin) {
    return Wrong(
        "startingDeadlineSeconds is less than 10, which a change of coordinators takes; "
        "write 10 or more");
  }
  if (s.jitter < 0 || s.jitter > kJitterMax) {
    return Wrong("jitter is not within 0 and 24 hours; write less");
  }
  if (s.cost.nodes == 0 || s.cost.longest <= 0 || s.cost.longest > kLongestMax) {
    return Wrong("a job of ", s.cost.nodes, " nodes for ", FormatDuration(s.cost.longest),
                 " has no cost; give it a node and a time limit of up to 31 days");
  }
  RETURN_IF_ERROR(CheckClosed(s, now));
  return CheckBudget(s);
}

std::string JobName(ScheduleId id, Nanos instant) {
  return absl::StrCat(
      "s", id.value, "-",
      absl::FormatTime("%Y%m%dT%H%M%SZ", absl::FromUnixNanos(instant), absl::UTCTimeZone()));
}

Nanos PlannedStart(const Schedule& s, Nanos instant) {
  Nanos most = s.jitter;
  if (most == 0) return instant;
  if (const auto next = cron::Next(s.when, s.zone, instant)) {
    most = std::min(most, *next - instant - 1);
  }
  Random random(s.id.value, static_cast<uint64_t>(instant));
  return instant + static_cast<Nanos>(random.Between(0, static_cast<uint64_t>(most)));
}

}  // namespace rackmark::schedule
