// What a schedule says, in CronJob's words, and the name of the job that it makes. Plain values, of
// whoever decides; zones are values that a shell loaded. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/status.h"
#include "coordinator/schedule/budget.h"
#include "coordinator/schedule/window.h"
#include "cron/instants.h"

namespace rackmark::schedule {

enum class Concurrency {
  kAllow,    // jobs of one schedule may run side by side
  kForbid,   // a job waits until the last one has ended, within its starting deadline
  kReplace,  // the running ones are cancelled first
};

// How many ended jobs are kept.
struct HistoryLimits {
  uint32_t successful = 3;
  uint32_t failed = 1;
};

struct Schedule {
  ScheduleId id;
  cron::Expression when;
  absl::TimeZone zone;
  Concurrency concurrency = Concurrency::kAllow;
  // How late after its planned start a job may begin. None: until the next one is due.
  std::optional<Nanos> starting_deadline;
  Nanos jitter = 0;  // a job is planned up to this much after its instant
  bool suspended = false;
  std::vector<Window> closed;  // for maintenance: no job is begun that could run in one
  std::optional<Budget> budget;
  Cost cost;  // the most that one job holds
  HistoryLimits history;
};

constexpr Nanos kStartingDeadlineMin = 10 * kSecond;  // a change of leaders must not miss a night
constexpr Nanos kJitterMax = 24 * 3600 * kSecond;

// What could never start, or means something else than it says. "<field> <wrong>; <remedy>".
absl::Status Check(const Schedule& schedule, Nanos now);

// Schedule and instant: the key by which a job is made once, whoever decides and however often.
// "s7-20261121T013000Z".
std::string JobName(ScheduleId id, Nanos instant);

// When the job of this instant is planned: jitter of its own, the same for everybody who asks,
// never as far as the next instant, so that jobs keep the order of their instants.
Nanos PlannedStart(const Schedule& schedule, Nanos instant);

}  // namespace rackmark::schedule
