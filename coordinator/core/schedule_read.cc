#include "coordinator/core/schedule_read.h"

#include <algorithm>

#include "coordinator/core/suite_validate.h"
#include "coordinator/core/validate.h"

namespace rackmark {
namespace {

constexpr size_t kNameMax = 52;  // with "-" and ten digits it is a job's
constexpr int kWindowsMax = 64;

absl::Status Invalid(std::string_view what) { return absl::InvalidArgumentError(ToAbsl(what)); }

absl::StatusOr<absl::TimeZone> ZoneNamed(const std::string& name, const ZoneFinder& find_zone) {
  if (name.empty() || name == "UTC") return absl::UTCTimeZone();
  if (!find_zone) return Invalid(absl::StrCat("time zone ", name, " is not known here; write UTC"));
  return find_zone(name);
}

absl::StatusOr<cron::Expression> Expression(const std::string& text, std::string_view field) {
  auto expression = cron::Parse(text);
  if (expression.ok()) return expression;
  return Annotate(expression.status(), field);
}

absl::StatusOr<schedule::Budget> ReadBudget(const v1::NightBudget& budget,
                                            const ZoneFinder& find_zone) {
  schedule::Budget read;
  ASSIGN_OR_RETURN(read.begins, Expression(budget.begins(), "budget.begins"));
  ASSIGN_OR_RETURN(read.zone, ZoneNamed(budget.time_zone(), find_zone));
  // What is no number is refused, as a limit of nothing.
  const bool positive = budget.node_seconds() > 0 && budget.node_seconds() < 1e15;
  read.limit = positive ? budget.node_seconds() * static_cast<double>(kSecond) : 0;
  return read;
}

absl::StatusOr<schedule::Concurrency> ReadPolicy(v1::ConcurrencyPolicy policy) {
  switch (policy) {
    case v1::CONCURRENCY_POLICY_ALLOW: return schedule::Concurrency::kAllow;
    case v1::CONCURRENCY_POLICY_FORBID: return schedule::Concurrency::kForbid;
    case v1::CONCURRENCY_POLICY_REPLACE: return schedule::Concurrency::kReplace;
    default:
      return Invalid("concurrency: CONCURRENCY_POLICY_UNKNOWN, or newer than this coordinator");
  }
}

uint32_t NodesMax(const v1::Gang& gang) {
  uint32_t nodes = std::max(1u, gang.devices());
  if (gang.has_per_node() && gang.per_node() > 0) nodes = std::max(1u, nodes / gang.per_node());
  if (gang.within() == v1::WITHIN_NODE && !gang.preferred()) nodes = 1;
  if (gang.nodes_size() > 0) nodes = std::min(nodes, static_cast<uint32_t>(gang.nodes_size()));
  return nodes;
}

// A double, because limits of a long sweep together are over int64.
double LongestSeconds(const v1::JobSpec& spec) {
  const auto seconds = [](int64_t ns) { return static_cast<double>(ns) / 1e9; };
  if (spec.budget().has_wall_ns()) return seconds(spec.budget().wall_ns());
  const v1::Limits& limits = spec.limits();
  // An attempt that fails may take its gang with it, so that each needs a set-up of its own.
  const double once = seconds(limits.setup_ns()) + seconds(limits.prepare_ns()) +
                      seconds(limits.measure_ns()) + seconds(limits.drain_ns());
  return once * spec.runs_size() * limits.attempts();
}

absl::Status ValidateWhat(const v1::Schedule& schedule) {
  switch (schedule.what_case()) {
    case v1::Schedule::kJob: {
      v1::Job job = schedule.job();
      job.set_name(schedule.name());
      if (job.has_part()) return Invalid("job.part: a part belongs into a suite");
      return Annotate(ValidateJob(job), "job");
    }
    case v1::Schedule::kSuite: {
      v1::Suite suite = schedule.suite();
      suite.set_name(schedule.name());
      return Annotate(ValidateSuite(suite), "suite");
    }
    default: return Invalid("a schedule submits a job or a suite, and this one has neither");
  }
}

}  // namespace

schedule::Cost CostOf(const v1::Schedule& schedule) {
  schedule::Cost cost;
  double seconds = 0;
  const auto add = [&](const v1::JobSpec& spec) {
    cost.nodes = std::max(cost.nodes, NodesMax(spec.gang()));
    seconds += LongestSeconds(spec);
  };
  if (schedule.has_job()) add(schedule.job().spec());
  for (const v1::Job& job : schedule.suite().jobs()) add(job.spec());
  const double most = static_cast<double>(schedule::kLongestMax) / 1e9;
  cost.longest = static_cast<Nanos>(std::clamp(seconds, 0.0, most) * 1e9);
  cost.longest = std::clamp<Nanos>(cost.longest, 1, schedule::kLongestMax);
  return cost;
}

absl::StatusOr<schedule::Schedule> ReadSchedule(ScheduleId id, const v1::Schedule& schedule,
                                                const ZoneFinder& find_zone) {
  schedule::Schedule read;
  read.id = schedule::ScheduleId{id.value};
  ASSIGN_OR_RETURN(read.when, Expression(schedule.when(), "schedule"));
  ASSIGN_OR_RETURN(read.zone, ZoneNamed(schedule.time_zone(), find_zone));
  ASSIGN_OR_RETURN(read.concurrency, ReadPolicy(schedule.concurrency()));
  if (schedule.has_starting_deadline_ns()) {
    read.starting_deadline = schedule.starting_deadline_ns();
  }
  read.jitter = schedule.jitter_ns();
  read.suspended = schedule.suspend();
  if (schedule.closed_size() > kWindowsMax) return Invalid("closed: more than 64 windows");
  for (const v1::MaintenanceWindow& window : schedule.closed()) {
    schedule::Window& closed = read.closed.emplace_back();
    ASSIGN_OR_RETURN(closed.opens, Expression(window.opens(), "closed.opens"));
    ASSIGN_OR_RETURN(closed.zone, ZoneNamed(window.time_zone(), find_zone));
    closed.length = window.length_ns();
  }
  if (schedule.has_budget()) {
    ASSIGN_OR_RETURN(read.budget, ReadBudget(schedule.budget(), find_zone));
  }
  read.cost = CostOf(schedule);
  read.history = {schedule.keep_successful(), schedule.keep_failed()};
  return read;
}

absl::Status ValidateSchedule(const v1::Schedule& schedule, const ZoneFinder& find_zone,
                              Nanos wall) {
  if (!IsName(schedule.name(), kNameMax)) return Invalid("name must match [a-z0-9-]{1,52}");
  RETURN_IF_ERROR(ValidateWhat(schedule));
  ASSIGN_OR_RETURN(const schedule::Schedule read, ReadSchedule(ScheduleId{1}, schedule, find_zone));
  return schedule::Check(read, wall);
}

std::string ScheduledName(const v1::Schedule& schedule, Nanos instant) {
  return absl::StrCat(schedule.name(), "-", instant / kSecond);
}

}  // namespace rackmark
