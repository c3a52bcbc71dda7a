#include "coordinator/core/schedules.h"

#include <algorithm>
#include <set>

#include "absl/time/time.h"
#include "common/text.h"
#include "coordinator/core/planner.h"
#include "coordinator/core/schedule_read.h"
#include "coordinator/core/submit.h"
#include "coordinator/schedule/history.h"
#include "google/protobuf/util/message_differencer.h"

namespace rackmark {
namespace {

std::string TimeText(Nanos unix_ns) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixNanos(unix_ns), absl::UTCTimeZone());
}

bool IsAsked(const State& state, const SoftSchedule& soft, Now now) {
  if (!soft.rule.ok()) return false;
  if (!soft.asked || (state.soft.schedules_wanted && soft.held)) return true;
  return soft.next.has_value() && now.wall >= *soft.next;
}

// The jobs of one instant: one, or those of a suite that is still known.
std::vector<JobId> JobsOf(const HardState& hard, const v1::ScheduledJob& scheduled) {
  if (scheduled.suite_id() == 0) return {JobId{scheduled.job_id()}};
  std::vector<JobId> jobs;
  const auto suite = hard.suites.find(SuiteId{scheduled.suite_id()});
  if (suite == hard.suites.end()) return jobs;
  for (size_t i = 0; i < suite->second.verdicts.size(); ++i) {
    jobs.push_back(JobId{suite->second.first_job.value + i});
  }
  return jobs;
}

std::vector<JobId> OpenJobsOf(const HardState& hard, const v1::ScheduledJob& scheduled,
                              bool cancelled) {
  std::vector<JobId> open;
  for (JobId id : JobsOf(hard, scheduled)) {
    const auto job = hard.jobs.find(id);
    if (job != hard.jobs.end() && job->second.cancel_requested == cancelled) open.push_back(id);
  }
  return open;
}

schedule::Situation SituationOf(const HardState& hard, const ScheduleState& schedule,
                                const schedule::Schedule& rule, Nanos wall) {
  schedule::Situation situation;
  situation.now = wall;
  situation.decided = schedule.decided;
  for (const v1::ScheduledJob& job : schedule.jobs) {
    const bool open = job.ended_unix_ns() == 0;
    if (open) situation.running.push_back(job.instant_unix_ns());
    if (!rule.budget.has_value()) continue;
    schedule::Usage& usage = situation.usage.emplace_back();
    usage.schedule = rule.id;
    usage.began = job.began_unix_ns();
    if (!open) usage.ended = job.ended_unix_ns();
    usage.cost = rule.cost;
    usage.replaced = open && OpenJobsOf(hard, job, /*cancelled=*/false).empty();
  }
  return situation;
}

uint64_t BytesOf(const v1::Schedule& schedule) {
  if (schedule.has_job()) return schedule.job().ByteSizeLong();
  uint64_t bytes = schedule.suite().expect().ByteSizeLong();
  for (const v1::Job& job : schedule.suite().jobs()) bytes += job.ByteSizeLong();
  return bytes;
}

// The key of the instant. A stranger may have used the same words: his is another submission.
std::string SubmissionOf(const HardState& hard, const ScheduleState& schedule, Nanos instant) {
  std::string id = schedule::JobName(schedule::ScheduleId{schedule.id.value}, instant);
  const auto taken = [&] {
    if (schedule.schedule.has_job()) return hard.submissions.count(id) != 0;
    if (hard.suite_submissions.count(id) != 0) return true;
    const auto& jobs = schedule.schedule.suite().jobs();
    return std::any_of(jobs.begin(), jobs.end(), [&](const v1::Job& job) {
      return hard.submissions.count(PartSubmission(id, job)) != 0;
    });
  };
  while (taken()) id += "+";
  return id;
}

void Submit(const HardState& hard, const ScheduleState& schedule, Nanos instant, NextIds& next,
            std::vector<v1::Event>& events) {
  const std::string submission = SubmissionOf(hard, schedule, instant);
  const std::string name = ScheduledName(schedule.schedule, instant);
  v1::ScheduledPart scheduled;
  scheduled.set_schedule_id(schedule.id.value);
  scheduled.set_instant_unix_ns(instant);
  const size_t before = events.size();
  if (schedule.schedule.has_job()) {
    v1::Job job = schedule.schedule.job();
    job.set_name(name);
    *job.mutable_scheduled() = scheduled;
    EmitJob(std::move(job), submission, next, events);
  } else {
    v1::Suite suite = schedule.schedule.suite();
    suite.set_name(name);
    *suite.mutable_scheduled() = scheduled;
    for (v1::Job& job : *suite.mutable_jobs()) *job.mutable_scheduled() = scheduled;
    EmitSuite(std::move(suite), submission, next, events);
  }
  for (size_t i = before; i < events.size(); ++i) *events[i].mutable_by() = schedule.by;
}

void Replace(const HardState& hard, const ScheduleState& schedule,
             const schedule::Decision& decision, std::vector<v1::Event>& events) {
  for (const v1::ScheduledJob& job : schedule.jobs) {
    const auto& replaced = decision.replaced;
    if (std::find(replaced.begin(), replaced.end(), job.instant_unix_ns()) == replaced.end()) {
      continue;
    }
    for (JobId id : OpenJobsOf(hard, job, /*cancelled=*/false)) {
      v1::JobCancelRequested* change = events.emplace_back().mutable_job_cancel_requested();
      change->set_job_id(id.value);
      change->set_reason(
          absl::StrCat("replaced by ", ScheduledName(schedule.schedule, *decision.start)));
    }
  }
}

void EmitDecided(const ScheduleState& schedule, const schedule::Decision& decision,
                 std::vector<v1::Event>& events) {
  v1::ScheduleDecided* change = events.emplace_back().mutable_schedule_decided();
  change->set_schedule_id(schedule.id.value);
  change->set_decided_unix_ns(decision.decided);
  if (decision.start.has_value()) change->set_start_unix_ns(*decision.start);
  if (!decision.missed.has_value()) return;
  change->mutable_missed()->set_first_unix_ns(decision.missed->first);
  change->mutable_missed()->set_last_unix_ns(decision.missed->last);
  change->mutable_missed()->set_count(decision.missed->count);
  change->mutable_missed()->set_more(decision.missed->more);
}

// Only the coordinator sets these, and nothing of an earlier submission may come along.
v1::Schedule Cleaned(v1::Schedule schedule) {
  if (schedule.has_job()) {
    schedule.mutable_job()->clear_scheduled();
    schedule.mutable_job()->set_name(schedule.name());
  } else {
    schedule.mutable_suite()->clear_scheduled();
    schedule.mutable_suite()->set_name(schedule.name());
    for (v1::Job& job : *schedule.mutable_suite()->mutable_jobs()) {
      job.clear_scheduled();
      job.mutable_part()->clear_suite_id();
    }
  }
  return schedule;
}

absl::Status CheckScheduleRoom(const State& state, const v1::Schedule& schedule) {
  uint64_t bytes = schedule.ByteSizeLong();
  size_t others = 0;
  for (const auto& [id, other] : state.hard.schedules) {
    if (other.schedule.name() == schedule.name()) continue;
    bytes += other.schedule.ByteSizeLong();
    ++others;
  }
  if (others < kSchedulesMax && bytes <= state.config.schedule_bytes_max) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("there are ", others, " other schedules, ", bytes, " bytes with this one; ",
                   kSchedulesMax, " and ", state.config.schedule_bytes_max,
                   " bytes are kept at most; remove one that is not needed (rackmark schedule list "
                   "shows them)"));
}

absl::Status NoSuchSchedule(const std::string& name) {
  return absl::NotFoundError(absl::StrCat("there is no schedule called \"", EscapeControl(name),
                                          "\"; rackmark schedule list shows those there are"));
}

bool SameRuleOfTime(const v1::Schedule& a, const v1::Schedule& b) {
  return a.when() == b.when() && a.time_zone() == b.time_zone();
}

}  // namespace

absl::StatusOr<Decision> DecideApplySchedule(const State& state, const ApplySchedule& command,
                                             Now now) {
  const auto named = state.hard.schedule_by_name.find(command.schedule.name());
  v1::Schedule wanted = command.schedule;
  // With a name and nothing to submit it says of the one that is there whether it rests.
  if (wanted.what_case() == v1::Schedule::WHAT_NOT_SET && wanted.when().empty()) {
    if (named == state.hard.schedule_by_name.end()) return NoSuchSchedule(wanted.name());
    wanted = state.hard.schedules.at(named->second).schedule;
    wanted.set_suspend(command.schedule.suspend());
  }
  RETURN_IF_ERROR(ValidateSchedule(wanted, state.config.find_zone, now.wall));
  const v1::Schedule schedule = Cleaned(std::move(wanted));
  RETURN_IF_ERROR(CheckScheduleRoom(state, schedule));
  const ScheduleState* known = named == state.hard.schedule_by_name.end()
                                   ? nullptr
                                   : &state.hard.schedules.at(named->second);
  Decision decision;
  if (known != nullptr &&
      google::protobuf::util::MessageDifferencer::Equals(known->schedule, schedule)) {
    decision.reply = ScheduleApplied{known->id, false};
    return decision;
  }
  v1::ScheduleSet* change = decision.events.emplace_back().mutable_schedule_set();
  change->set_schedule_id(known == nullptr ? state.hard.last_schedule + 1 : known->id.value);
  // Never back: what was decided is decided, also by a clock that was set back since.
  Nanos decided = now.wall;
  if (known != nullptr) {
    const bool same = SameRuleOfTime(known->schedule, schedule);
    decided = same ? known->decided : std::max(known->decided, now.wall);
  }
  change->set_decided_unix_ns(decided);
  *change->mutable_schedule() = schedule;
  decision.reply = ScheduleApplied{ScheduleId{change->schedule_id()}, true};
  return decision;
}

absl::StatusOr<Decision> DecideRemoveSchedule(const State& state, const RemoveSchedule& command) {
  const auto named = state.hard.schedule_by_name.find(command.name);
  if (named == state.hard.schedule_by_name.end()) {
    return NoSuchSchedule(command.name);
  }
  Decision decision;
  decision.events.emplace_back().mutable_schedule_removed()->set_schedule_id(named->second.value);
  return decision;
}

std::optional<schedule::Decision> AskSchedule(const State& state, const ScheduleState& schedule,
                                              Now now) {
  const auto soft = state.soft.schedules.find(schedule.id);
  if (soft == state.soft.schedules.end() || !soft->second.rule.ok()) return std::nullopt;
  const schedule::Schedule& rule = *soft->second.rule;
  return schedule::Decide(rule, SituationOf(state.hard, schedule, rule, now.wall));
}

void StepSchedules(const State& state, Now now, std::vector<v1::Event>& events) {
  NextIds next(state.hard);
  uint64_t bytes = 0;
  for (const auto& [id, soft] : state.soft.schedules) {
    if (!IsAsked(state, soft, now)) continue;
    const ScheduleState& schedule = state.hard.schedules.at(id);
    const auto decision = AskSchedule(state, schedule, now);
    if (!decision.has_value() || decision->decided <= schedule.decided) continue;
    if (decision->start.has_value()) {
      const uint64_t more = BytesOf(schedule.schedule);
      if (!CheckRoom(state, bytes + more).ok()) continue;
      bytes += more;
      Replace(state.hard, schedule, *decision, events);
      Submit(state.hard, schedule, *decision->start, next, events);
    }
    EmitDecided(schedule, *decision, events);
  }
}

std::string HeldSentence(const State& state, const ScheduleState& schedule, Now now) {
  const auto soft = state.soft.schedules.find(schedule.id);
  if (soft == state.soft.schedules.end()) return "";
  if (!soft->second.rule.ok()) {
    return absl::StrCat("nothing of it is due: ", soft->second.rule.status().message());
  }
  const auto decision = AskSchedule(state, schedule, now);
  if (decision->start.has_value()) {
    return absl::StrCat(TimeText(*decision->start), " waits for room among the open jobs");
  }
  if (!decision->held.has_value()) return "";
  const std::string until = decision->held->until.has_value()
                                ? absl::StrCat(", until ", TimeText(*decision->held->until))
                                : "";
  const std::string instant = TimeText(decision->held->instant);
  switch (decision->held->why) {
    case schedule::Hold::kRunning:
      return absl::StrCat(instant, " waits for the one that runs to end");
    case schedule::Hold::kWindow:
      return absl::StrCat(instant, " waits for the end of maintenance", until);
    case schedule::Hold::kBudget:
      return absl::StrCat(instant, " waits for another night's budget", until);
  }
  return "";
}

std::optional<Closure> ClosureOf(const State& state, const JobState& job) {
  if (!job.job.has_scheduled()) return std::nullopt;
  const auto soft = state.soft.schedules.find(ScheduleId{job.job.scheduled().schedule_id()});
  if (soft == state.soft.schedules.end() || !soft->second.rule.ok()) return std::nullopt;
  const std::vector<schedule::Window>& windows = soft->second.rule->closed;
  if (windows.empty()) return std::nullopt;
  const Nanos length = std::clamp<Nanos>(EstimateOf(state, job), 1, schedule::kLongestMax);
  const Nanos now = std::clamp(state.soft.wall, cron::kFirstInstant, cron::kLastInstant);
  const schedule::Free free = schedule::FreeFrom(windows, now, length);
  if (free.at > now || !free.found) return Closure{true, std::max(free.at, now + 1)};
  const auto closes = schedule::ClosesAt(windows, now, length);
  if (!closes.has_value()) return std::nullopt;
  return Closure{false, *closes};
}

std::string ClosureText(const State& state, const JobState& job) {
  const auto closure = ClosureOf(state, job);
  if (!closure.has_value() || !closure->closed) return "";
  return absl::StrCat("the end of maintenance of its schedule, until ", TimeText(closure->until));
}

void TrackSchedule(State& state, ScheduleId id) {
  const auto schedule = state.hard.schedules.find(id);
  if (schedule == state.hard.schedules.end()) {
    state.soft.schedules.erase(id);
    return;
  }
  SoftSchedule soft;
  soft.rule = ReadSchedule(id, schedule->second.schedule, state.config.find_zone);
  state.soft.schedules[id] = std::move(soft);
}

void TrackSchedules(State& state) {
  state.soft.schedules.clear();
  for (const auto& [id, schedule] : state.hard.schedules) TrackSchedule(state, id);
}

void RestSchedules(State& state, Now now) {
  for (auto& [id, soft] : state.soft.schedules) {
    if (!IsAsked(state, soft, now)) continue;
    const ScheduleState& schedule = state.hard.schedules.at(id);
    const auto decision = AskSchedule(state, schedule, now);
    // Decided and not done: there is no room for its job now.
    const bool waits = decision->decided > schedule.decided;
    soft.held = waits || decision->held.has_value();
    soft.next = waits ? now.wall + state.config.tick_max : decision->next;
    soft.asked = true;
  }
  state.soft.schedules_wanted = false;
}

std::optional<Nanos> ScheduleDeadline(const State& state, ScheduleId id) {
  const auto soft = state.soft.schedules.find(id);
  if (soft == state.soft.schedules.end() || !soft->second.next.has_value()) return std::nullopt;
  return state.soft.now + (*soft->second.next - state.soft.wall);
}

std::vector<JobId> BeyondHistory(const State& state) {
  std::set<JobId> beyond;
  for (const auto& [id, state_of] : state.hard.schedules) {
    std::vector<schedule::EndedJob> ended;
    for (const v1::ScheduledJob& job : state_of.jobs) {
      if (job.ended_unix_ns() != 0) ended.push_back({job.instant_unix_ns(), job.successful()});
    }
    const schedule::HistoryLimits limits{state_of.schedule.keep_successful(),
                                         state_of.schedule.keep_failed()};
    for (Nanos instant : schedule::BeyondHistory(ended, limits)) {
      for (const v1::ScheduledJob& job : state_of.jobs) {
        if (job.instant_unix_ns() != instant) continue;
        for (JobId each : JobsOf(state.hard, job)) beyond.insert(each);
      }
    }
  }
  return {beyond.begin(), beyond.end()};
}

}  // namespace rackmark
