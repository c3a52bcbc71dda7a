// As in record.cc: each struct is taken apart by a structured binding of all its members.
#include "coordinator/core/record_suite.h"

namespace rackmark {
namespace {

absl::Status Bad(std::string_view what) { return absl::DataLossError(ToAbsl(what)); }

absl::Status Load(const v1::SuiteRecord& record, HardState& hard) {
  const SuiteId id{record.suite_id()};
  if (id.IsNone() || id.value > hard.last_suite || hard.suites.count(id) != 0 ||
      record.verdicts_size() != record.suite().jobs_size()) {
    return Bad(absl::StrCat("suite ", id.value, " is out of order, or lacks jobs"));
  }
  SuiteState& suite = hard.suites[id];
  suite.id = id;
  suite.suite = record.suite();
  suite.first_job = JobId{record.first_job_id()};
  suite.submission_id = record.submission_id();
  suite.by = record.by();
  suite.submitted_unix_ns = record.submitted_unix_ns();
  suite.checked = record.checked();
  suite.findings.assign(record.findings().begin(), record.findings().end());
  for (int i = 0; i < record.verdicts_size(); ++i) {
    std::optional<v1::Verdict>& verdict = suite.verdicts.emplace_back();
    if (record.verdicts(i) != v1::VERDICT_UNKNOWN) verdict = record.verdicts(i);
  }
  suite.ended_unix_ns = record.ended_unix_ns();
  suite.outcome = record.outcome();
  if (hard.suite_submissions.emplace(suite.submission_id, id).second) return absl::OkStatus();
  return Bad("a suite's submission came twice");
}

absl::Status Load(const v1::ScheduleRecord& record, HardState& hard) {
  const ScheduleId id{record.schedule_id()};
  if (id.IsNone() || id.value > hard.last_schedule || hard.schedules.count(id) != 0) {
    return Bad(absl::StrCat("schedule ", id.value, " is out of order"));
  }
  ScheduleState& schedule = hard.schedules[id];
  schedule.id = id;
  schedule.schedule = record.schedule();
  schedule.by = record.by();
  schedule.decided = record.decided_unix_ns();
  schedule.jobs.assign(record.jobs().begin(), record.jobs().end());
  if (record.has_missed()) schedule.missed = record.missed();
  if (hard.schedule_by_name.emplace(schedule.schedule.name(), id).second) return absl::OkStatus();
  return Bad(absl::StrCat("two schedules are called ", schedule.schedule.name()));
}

}  // namespace

v1::SuiteRecord RecordOf(const SuiteState& state) {
  const auto& [id, suite, first_job, submission_id, by, submitted_unix_ns, checked, findings,
               verdicts, ended_unix_ns, outcome] = state;
  v1::SuiteRecord record;
  record.set_suite_id(id.value);
  *record.mutable_suite() = suite;
  record.set_first_job_id(first_job.value);
  record.set_submission_id(submission_id);
  *record.mutable_by() = by;
  record.set_submitted_unix_ns(submitted_unix_ns);
  record.set_checked(checked);
  for (const v1::Finding& finding : findings) *record.add_findings() = finding;
  for (const auto& verdict : verdicts) {
    record.add_verdicts(verdict.value_or(v1::VERDICT_UNKNOWN));
  }
  record.set_ended_unix_ns(ended_unix_ns);
  record.set_outcome(outcome);
  return record;
}

v1::ScheduleRecord RecordOf(const ScheduleState& state) {
  const auto& [id, schedule, by, decided, jobs, missed] = state;
  v1::ScheduleRecord record;
  record.set_schedule_id(id.value);
  *record.mutable_schedule() = schedule;
  *record.mutable_by() = by;
  record.set_decided_unix_ns(decided);
  for (const v1::ScheduledJob& job : jobs) *record.add_jobs() = job;
  if (missed.has_value()) *record.mutable_missed() = *missed;
  return record;
}

v1::OwnerUsage RecordOf(const std::string& owner, const OwnerUsage& usage) {
  const auto& [used, tick] = usage;
  v1::OwnerUsage record;
  record.set_owner(owner);
  record.set_used(used);
  record.set_tick(tick);
  return record;
}

absl::Status LoadSuites(const v1::Snapshot& snapshot, HardState& hard) {
  for (const v1::SuiteRecord& record : snapshot.suites()) RETURN_IF_ERROR(Load(record, hard));
  for (const v1::ScheduleRecord& record : snapshot.schedules()) {
    RETURN_IF_ERROR(Load(record, hard));
  }
  for (const v1::OwnerUsage& record : snapshot.usage()) {
    hard.usage[record.owner()] = {record.used(), record.tick()};
  }
  return absl::OkStatus();
}

}  // namespace rackmark
