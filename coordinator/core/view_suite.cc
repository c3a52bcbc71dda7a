// Suites and schedules as people ask for them: the part of view.h that is theirs.
#include <algorithm>

#include "coordinator/core/schedules.h"
#include "coordinator/core/view.h"

namespace rackmark {
namespace {

constexpr int kNextShown = 3;

// What State still knows of a job that has ended.
v1::JobStatus EndedPart(const SuiteState& suite, size_t at) {
  const v1::Job& job = suite.suite.jobs(static_cast<int>(at));
  v1::JobStatus status;
  status.set_job_id(suite.first_job.value + at);
  status.set_name(job.name());
  status.set_phase(v1::JOB_PHASE_ENDED);
  status.set_verdict(*suite.verdicts[at]);
  *status.mutable_by() = suite.by;
  status.set_submitted_unix_ns(suite.submitted_unix_ns);
  status.set_suite_id(suite.id.value);
  status.set_part(job.part().name());
  status.set_schedule_id(suite.suite.scheduled().schedule_id());
  return status;
}

// Without what is long: people asked what there is, not for a copy.
v1::Schedule Outline(const v1::Schedule& schedule) {
  v1::Schedule outline = schedule;
  const auto cut = [](v1::Job& job) {
    job.clear_source();
    job.mutable_spec()->clear_runs();
  };
  outline.clear_source();
  if (outline.has_job()) cut(*outline.mutable_job());
  if (outline.has_suite()) {
    outline.mutable_suite()->clear_source();
    for (v1::Job& job : *outline.mutable_suite()->mutable_jobs()) cut(job);
  }
  return outline;
}

}  // namespace

v1::SuiteStatus ViewSuite(const State& state, SuiteId id) {
  const SuiteState& suite = state.hard.suites.at(id);
  v1::SuiteStatus status;
  status.set_suite_id(id.value);
  status.set_name(suite.suite.name());
  *status.mutable_by() = suite.by;
  status.set_submitted_unix_ns(suite.submitted_unix_ns);
  if (!IsOpen(suite)) status.set_ended_unix_ns(suite.ended_unix_ns);
  status.set_outcome(suite.outcome);
  status.set_checked(suite.checked);
  for (const v1::Finding& finding : suite.findings) *status.add_findings() = finding;
  for (size_t i = 0; i < suite.verdicts.size(); ++i) {
    const JobId job{suite.first_job.value + i};
    const bool open = state.hard.jobs.count(job) != 0;
    // Between the two there is nothing: a job ends, and its verdict is there.
    if (open) *status.add_jobs() = ViewJob(state, job);
    if (!open && suite.verdicts[i].has_value()) *status.add_jobs() = EndedPart(suite, i);
  }
  return status;
}

v1::ScheduleStatus ViewSchedule(const State& state, ScheduleId id, Now now) {
  const ScheduleState& schedule = state.hard.schedules.at(id);
  v1::ScheduleStatus status;
  status.set_schedule_id(id.value);
  *status.mutable_schedule() = Outline(schedule.schedule);
  *status.mutable_by() = schedule.by;
  const auto soft = state.soft.schedules.find(id);
  if (soft != state.soft.schedules.end() && soft->second.rule.ok() &&
      !schedule.schedule.suspend()) {
    const schedule::Schedule& rule = *soft->second.rule;
    std::optional<Nanos> next = std::max(now.wall, schedule.decided);
    while (status.next_unix_ns_size() < kNextShown) {
      next = cron::Next(rule.when, rule.zone, *next);
      if (!next.has_value()) break;
      status.add_next_unix_ns(*next);
    }
  }
  if (schedule.missed.has_value()) *status.mutable_missed() = *schedule.missed;
  status.set_held(HeldSentence(state, schedule, now));
  uint32_t running = 0;
  for (const v1::ScheduledJob& job : schedule.jobs) running += job.ended_unix_ns() == 0 ? 1u : 0u;
  status.set_running(running);
  if (!schedule.jobs.empty()) {
    const v1::ScheduledJob& last = schedule.jobs.back();
    status.set_last_job_id(last.job_id());
    status.set_last_suite_id(last.suite_id());
    status.set_last_unix_ns(last.instant_unix_ns());
  }
  return status;
}

}  // namespace rackmark
