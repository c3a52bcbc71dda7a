#include "coordinator/core/apply_suite.h"

#include <algorithm>

#include "google/protobuf/util/message_differencer.h"

namespace rackmark {
namespace {

using v1::Event;

absl::Status Bad(std::string_view what) { return absl::DataLossError(ToAbsl(what)); }

v1::ScheduledJob* FindScheduled(HardState& hard, const v1::ScheduledPart& part) {
  const auto schedule = hard.schedules.find(ScheduleId{part.schedule_id()});
  if (schedule == hard.schedules.end()) return nullptr;
  for (v1::ScheduledJob& job : schedule->second.jobs) {
    if (job.instant_unix_ns() == part.instant_unix_ns()) return &job;
  }
  return nullptr;
}

void EndScheduled(HardState& hard, const v1::ScheduledPart& part, int64_t unix_ns,
                  bool successful) {
  v1::ScheduledJob* job = FindScheduled(hard, part);
  if (job == nullptr) return;  // its schedule was removed
  job->set_ended_unix_ns(std::max<int64_t>(1, unix_ns));
  job->set_successful(successful);
}

void On(HardState& hard, const Event& event, const v1::SuiteSubmitted& change) {
  SuiteState& suite = hard.suites[SuiteId{change.suite_id()}];
  suite.id = SuiteId{change.suite_id()};
  suite.suite = change.suite();
  suite.first_job = JobId{change.first_job_id()};
  suite.submission_id = change.submission_id();
  suite.by = event.by();
  suite.submitted_unix_ns = event.unix_ns();
  suite.verdicts.resize(static_cast<size_t>(change.suite().jobs_size()));
  hard.last_suite = suite.id.value;
  hard.suite_submissions[suite.submission_id] = suite.id;
}

void On(HardState& hard, const v1::SuiteChecked& change) {
  SuiteState& suite = hard.suites.at(SuiteId{change.suite_id()});
  suite.checked = true;
  suite.findings.insert(suite.findings.end(), change.findings().begin(), change.findings().end());
}

void On(HardState& hard, const Event& event, const v1::SuiteEnded& change) {
  SuiteState& suite = hard.suites.at(SuiteId{change.suite_id()});
  suite.outcome = change.outcome();
  suite.findings.insert(suite.findings.end(), change.findings().begin(), change.findings().end());
  suite.ended_unix_ns = event.unix_ns();
  if (suite.suite.has_scheduled()) {
    EndScheduled(hard, suite.suite.scheduled(), event.unix_ns(),
                 change.outcome() == v1::SUITE_OUTCOME_PASS);
  }
  // Its findings stay; what they were found by may be long, and nobody looks at it again.
  if (suite.suite.has_expect()) {
    suite.suite.mutable_expect()->clear_nodes();
    suite.suite.mutable_expect()->clear_slots();
  }
  size_t ended = 0;
  auto oldest = hard.suites.end();  // that ended; never this one, which somebody waits for
  for (auto it = hard.suites.begin(); it != hard.suites.end(); ++it) {
    if (IsOpen(it->second)) continue;
    ++ended;
    const bool older =
        oldest == hard.suites.end() || it->second.ended_unix_ns < oldest->second.ended_unix_ns;
    if (it->first != suite.id && older) oldest = it;
  }
  if (ended <= kEndedSuitesKept || oldest == hard.suites.end()) return;
  hard.suite_submissions.erase(oldest->second.submission_id);
  hard.suites.erase(oldest);
}

void On(HardState& hard, const Event& event, const v1::ScheduleSet& change) {
  ScheduleState& schedule = hard.schedules[ScheduleId{change.schedule_id()}];
  if (schedule.id.IsNone()) hard.last_schedule = change.schedule_id();
  schedule.id = ScheduleId{change.schedule_id()};
  // Who lets it rest, or go on, does not make it theirs.
  v1::Schedule before = schedule.schedule, after = change.schedule();
  before.clear_suspend();
  after.clear_suspend();
  if (!google::protobuf::util::MessageDifferencer::Equals(before, after)) schedule.by = event.by();
  schedule.schedule = change.schedule();
  schedule.decided = change.decided_unix_ns();
  hard.schedule_by_name[change.schedule().name()] = schedule.id;
}

void On(HardState& hard, const v1::ScheduleRemoved& change) {
  const auto schedule = hard.schedules.find(ScheduleId{change.schedule_id()});
  hard.schedule_by_name.erase(schedule->second.schedule.name());
  hard.schedules.erase(schedule);
}

// The oldest of those that have ended go.
void BoundJobs(ScheduleState& schedule) {
  for (auto it = schedule.jobs.begin();
       it != schedule.jobs.end() && schedule.jobs.size() > kScheduledJobsKept;) {
    it = it->ended_unix_ns() != 0 ? schedule.jobs.erase(it) : std::next(it);
  }
}

// What starts was submitted by events before this one, of the same transaction.
void On(HardState& hard, const Event& event, const v1::ScheduleDecided& change) {
  ScheduleState& schedule = hard.schedules.at(ScheduleId{change.schedule_id()});
  schedule.decided = change.decided_unix_ns();
  if (change.has_missed()) schedule.missed = change.missed();
  if (!change.has_start_unix_ns()) return;
  v1::ScheduledJob& job = schedule.jobs.emplace_back();
  job.set_instant_unix_ns(change.start_unix_ns());
  job.set_began_unix_ns(event.unix_ns());
  if (schedule.schedule.has_suite()) {
    job.set_suite_id(hard.last_suite);
  } else {
    job.set_job_id(hard.last_job);
  }
  BoundJobs(schedule);
}

absl::Status CheckOpenSuite(const HardState& hard, uint64_t id) {
  const auto suite = hard.suites.find(SuiteId{id});
  if (suite != hard.suites.end() && IsOpen(suite->second)) return absl::OkStatus();
  return Bad(absl::StrCat("no open suite ", id));
}

absl::Status CheckSchedule(const HardState& hard, uint64_t id) {
  if (hard.schedules.count(ScheduleId{id}) != 0) return absl::OkStatus();
  return Bad(absl::StrCat("no schedule ", id));
}

absl::Status Check(const HardState& hard, const v1::SuiteSubmitted& change) {
  if (change.suite_id() != hard.last_suite + 1) return Bad("wrong suite id");
  if (change.suite().jobs_size() == 0) return Bad("a suite without jobs");
  if (change.first_job_id() != hard.last_job + 1) return Bad("wrong first job id");
  if (hard.suite_submissions.count(change.submission_id()) != 0) {
    return Bad("a suite's submission came twice");
  }
  return absl::OkStatus();
}

absl::Status Check(const HardState& hard, const v1::SuiteChecked& change) {
  RETURN_IF_ERROR(CheckOpenSuite(hard, change.suite_id()));
  if (!hard.suites.at(SuiteId{change.suite_id()}).checked) return absl::OkStatus();
  // What was looked at can only leave.
  for (const v1::Finding& finding : change.findings()) {
    if (finding.kind() != v1::FINDING_KIND_EXCLUDED) return Bad("a suite checked twice");
  }
  if (change.findings_size() == 0) return Bad("a suite checked twice");
  return absl::OkStatus();
}

absl::Status Check(const HardState& hard, const v1::SuiteEnded& change) {
  RETURN_IF_ERROR(CheckOpenSuite(hard, change.suite_id()));
  if (change.outcome() == v1::SUITE_OUTCOME_UNKNOWN) return Bad("SUITE_OUTCOME_UNKNOWN");
  for (const auto& verdict : hard.suites.at(SuiteId{change.suite_id()}).verdicts) {
    if (!verdict.has_value()) return Bad("a suite ended before its jobs");
  }
  return absl::OkStatus();
}

absl::Status Check(const HardState& hard, const v1::ScheduleSet& change) {
  const auto known = hard.schedule_by_name.find(change.schedule().name());
  const uint64_t expected =
      known == hard.schedule_by_name.end() ? hard.last_schedule + 1 : known->second.value;
  if (change.schedule_id() != expected) return Bad("wrong schedule id");
  if (change.schedule().name().empty()) return Bad("a schedule without a name");
  return absl::OkStatus();
}

// An instant is decided once: never twice, whoever leads.
absl::Status Check(const HardState& hard, const v1::ScheduleDecided& change) {
  RETURN_IF_ERROR(CheckSchedule(hard, change.schedule_id()));
  const ScheduleState& schedule = hard.schedules.at(ScheduleId{change.schedule_id()});
  if (change.decided_unix_ns() <= schedule.decided) return Bad("an instant decided twice");
  if (!change.has_start_unix_ns()) return absl::OkStatus();
  for (const v1::ScheduledJob& job : schedule.jobs) {
    if (job.instant_unix_ns() == change.start_unix_ns()) return Bad("an instant began twice");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSuiteChange(const HardState& hard, const v1::Event& event) {
  switch (event.change_case()) {
    case Event::kSuiteSubmitted: return Check(hard, event.suite_submitted());
    case Event::kSuiteChecked: return Check(hard, event.suite_checked());
    case Event::kSuiteEnded: return Check(hard, event.suite_ended());
    case Event::kScheduleSet: return Check(hard, event.schedule_set());
    case Event::kScheduleRemoved:
      return CheckSchedule(hard, event.schedule_removed().schedule_id());
    case Event::kScheduleDecided: return Check(hard, event.schedule_decided());
    default: break;
  }
  return Bad("not a change of a suite or a schedule");
}

void ApplySuiteChange(HardState& hard, const v1::Event& event) {
  switch (event.change_case()) {
    case Event::kSuiteSubmitted: On(hard, event, event.suite_submitted()); break;
    case Event::kSuiteChecked: On(hard, event.suite_checked()); break;
    case Event::kSuiteEnded: On(hard, event, event.suite_ended()); break;
    case Event::kScheduleSet: On(hard, event, event.schedule_set()); break;
    case Event::kScheduleRemoved: On(hard, event.schedule_removed()); break;
    case Event::kScheduleDecided: On(hard, event, event.schedule_decided()); break;
    default: break;
  }
}

void NoteJobEnded(HardState& hard, const v1::Event& job_ended, const JobState& job) {
  const v1::Verdict verdict = job_ended.job_ended().verdict();
  if (job.job.has_part()) {
    const auto found = hard.suites.find(SuiteId{job.job.part().suite_id()});
    if (found == hard.suites.end()) return;
    SuiteState& suite = found->second;
    if (job.id < suite.first_job) return;
    const uint64_t at = job.id.value - suite.first_job.value;
    if (at < suite.verdicts.size()) suite.verdicts[at] = verdict;
    return;
  }
  if (job.job.has_scheduled()) {
    EndScheduled(hard, job.job.scheduled(), job_ended.unix_ns(), verdict == v1::VERDICT_PASS);
  }
}

}  // namespace rackmark
