#include "cli/fleet_text.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "cli/exit_status.h"
#include "cli/table.h"
#include "common/ids.h"
#include "common/status.h"
#include "common/text.h"

namespace rackmark {
namespace {

std::string Or(const std::string& text, const char* missing) {
  return text.empty() ? missing : text;
}

std::string KindText(v1::FindingKind kind) {
  switch (kind) {
    case v1::FINDING_KIND_MISSING: return "missing";
    case v1::FINDING_KIND_EXTRA: return "extra";
    case v1::FINDING_KIND_SWAPPED: return "swapped";
    case v1::FINDING_KIND_ODD_ONE_OUT: return "odd one out";
    case v1::FINDING_KIND_EXCLUDED: return "excluded";
    default: return "unknown";
  }
}

std::string FindingsTable(const v1::SuiteStatus& suite) {
  Table table({"FINDING", "NODE", "DEVICE", "SLOT", "SERIAL", "WHAT", "EXPECTED", "FOUND"});
  for (const v1::Finding& finding : suite.findings()) {
    table.Add({KindText(finding.kind()), Or(finding.node(), "-"),
               finding.has_device() ? absl::StrCat(finding.device()) : "-", Or(finding.slot(), "-"),
               Or(finding.serial(), "-"), Or(finding.what(), "-"), Or(finding.expected(), "-"),
               Or(finding.found(), "-")});
  }
  return table.ToString();
}

std::string RunsText(const v1::JobStatus& job) {
  // A job that has ended long ago is known by its verdict alone.
  return job.runs_total() == 0 ? "-" : absl::StrCat(job.runs_ended(), "/", job.runs_total());
}

std::string JobState(const v1::JobStatus& job) {
  const std::string phase = PhaseText(v1::JobPhase_Name(job.phase()), 10);
  if (job.phase() == v1::JOB_PHASE_ENDED) return "ended with " + VerdictText(job.verdict());
  std::string text = absl::StrCat(phase, ", ", RunsText(job), " runs");
  if (job.phase() == v1::JOB_PHASE_QUEUED && job.waiting_reasons_size() > 0) {
    absl::StrAppend(&text, ": ", EscapeControl(job.waiting_reasons(0)));
  }
  return text;
}

std::string NextText(const v1::ScheduleStatus& status) {
  if (status.schedule().suspend()) return "suspended";
  return status.next_unix_ns_size() == 0 ? "never" : FormatUnixTime(status.next_unix_ns(0));
}

std::string MissedText(const v1::MissedInstants& missed) {
  return absl::StrCat("missed ", missed.count(), missed.more() ? " or more" : "", ", the last ",
                      FormatUnixTime(missed.last_unix_ns()));
}

std::string NoteText(const v1::ScheduleStatus& status) {
  std::string text = status.held();
  if (status.has_missed()) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", MissedText(status.missed()));
  }
  return text;
}

}  // namespace

std::string DisplaySuite(std::string_view cluster_id, uint64_t suite_id) {
  return absl::StrCat(ToAbsl(cluster_id.substr(0, 8)), "-s", suite_id);
}

std::string OutcomeText(v1::SuiteOutcome outcome) {
  if (outcome == v1::SUITE_OUTCOME_UNKNOWN || !v1::SuiteOutcome_IsValid(outcome)) return "-";
  return v1::SuiteOutcome_Name(outcome).substr(sizeof("SUITE_OUTCOME_") - 1);
}

std::string StateText(const v1::NodeStatus& node) {
  std::string text;
  const auto add = [&text](std::string_view word) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", ToAbsl(word));
  };
  if (node.cordoned()) add(node.drain() ? "draining" : "cordoned");
  if (node.standing() == v1::STANDING_QUARANTINED) add("quarantined");
  if (node.standing() == v1::STANDING_PROBATION) add("probation");
  return text.empty() ? "-" : text;
}

std::string SuitesTable(const v1::ListSuitesReply& reply) {
  Table table({"SUITE", "NAME", "OUTCOME", "JOBS", "FINDINGS", "SUBMITTED", "BY"});
  for (const v1::SuiteStatus& suite : reply.suites()) {
    int ended = 0;
    for (const v1::JobStatus& job : suite.jobs()) ended += job.phase() == v1::JOB_PHASE_ENDED;
    table.Add({DisplaySuite(reply.identity().cluster_id(), suite.suite_id()), suite.name(),
               OutcomeText(suite.outcome()), absl::StrCat(ended, "/", suite.jobs_size()),
               suite.checked() ? absl::StrCat(suite.findings_size()) : "-",
               FormatUnixTime(suite.submitted_unix_ns()), suite.by().name()});
  }
  return table.ToString() + MoreText(reply.left_out());
}

std::string SuiteText(std::string_view cluster_id, const v1::SuiteStatus& suite) {
  std::string text =
      absl::StrCat("suite ", DisplaySuite(cluster_id, suite.suite_id()), ": ",
                   EscapeControl(suite.name()), suite.has_ended_unix_ns() ? " ended with " : " ",
                   suite.has_ended_unix_ns() ? OutcomeText(suite.outcome()) : "is open", "\n\n");
  if (suite.findings_size() > 0) absl::StrAppend(&text, FindingsTable(suite), "\n");
  Table table({"PART", "JOB", "NAME", "PHASE", "VERDICT", "RUNS"});
  for (const v1::JobStatus& job : suite.jobs()) {
    table.Add({job.part(), DisplayJob(cluster_id, JobId{job.job_id()}), job.name(),
               PhaseText(v1::JobPhase_Name(job.phase()), 10), VerdictText(job.verdict()),
               RunsText(job)});
  }
  return text + table.ToString();
}

std::string SchedulesTable(const v1::ListSchedulesReply& reply) {
  Table table({"SCHEDULE", "WHEN", "ZONE", "NEXT", "LAST", "RUNNING", "NOTE"});
  for (const v1::ScheduleStatus& status : reply.schedules()) {
    const v1::Schedule& schedule = status.schedule();
    table.Add({schedule.name(), schedule.when(), Or(schedule.time_zone(), "UTC"), NextText(status),
               status.last_unix_ns() == 0 ? "-" : FormatUnixTime(status.last_unix_ns()),
               absl::StrCat(status.running()), NoteText(status)});
  }
  std::string text = table.ToString();
  if (reply.left_out() > 0) {
    absl::StrAppend(&text, "and ", reply.left_out(), " more, which did not fit into one message\n");
  }
  return text;
}

std::string ScheduleText(const v1::ApplyScheduleReply& reply) {
  const v1::ScheduleStatus& status = reply.schedule();
  const std::string next = NextText(status);
  return absl::StrCat(
      "schedule ", EscapeControl(status.schedule().name()),
      reply.changed() ? " is set" : " was so already", "; ",
      next == "suspended" ? "it is suspended, and begins nothing" : absl::StrCat("next at ", next),
      "\n");
}

std::string NodeChangeText(const v1::ChangeNodeReply& reply) {
  const std::string state = StateText(reply.node());
  return absl::StrCat("node ", EscapeControl(reply.node().info().name()),
                      reply.changed() ? ": now " : ": still ", state == "-" ? "in use" : state,
                      reply.changed() ? "\n" : "; nothing changed\n");
}

std::string ForgottenText(const v1::ChangeNodeReply& reply) {
  return absl::StrCat("node ", EscapeControl(reply.node().info().name()),
                      ": forgotten; a worker that comes under this name is a new node\n");
}

std::vector<std::string> SuiteNews::Lines(const v1::SuiteStatus& suite, Nanos elapsed) {
  const std::string at = absl::StrFormat("[%6.1f s] ", static_cast<double>(elapsed) / 1e9);
  std::vector<std::string> lines;
  if (suite.checked() && !std::exchange(checked_, true)) {
    lines.push_back(absl::StrCat(at, "what is expected was looked at: ",
                                 suite.findings_size() == 0 ? "all of it is there"
                                 : suite.findings_size() == 1
                                     ? "1 finding"
                                     : absl::StrCat(suite.findings_size(), " findings")));
  }
  for (const v1::JobStatus& job : suite.jobs()) {
    const std::string state = JobState(job);
    std::string& known = known_[job.job_id()];
    if (known == state) continue;
    known = state;
    lines.push_back(absl::StrCat(at, EscapeControl(job.part()), ": ", state));
  }
  return lines;
}

}  // namespace rackmark
