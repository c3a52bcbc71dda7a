#include "tests/scenarios/suite_words.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/status.h"
#include "coordinator/core/expect.h"
#include "coordinator/core/view.h"

namespace rackmark {
namespace {

std::string Text(const Options& options, const std::string& name) {
  const auto found = options.find(name);
  return found == options.end() ? "" : found->second;
}

bool Has(const Options& options, const std::string& name) { return options.count(name) != 0; }

uint32_t Count(const std::string& text) {
  uint32_t value = 0;
  RACKMARK_CHECK(absl::SimpleAtoi(text, &value));
  return value;
}

std::vector<std::string> List(const std::string& text, char separator = ',') {
  return absl::StrSplit(text, separator, absl::SkipEmpty());
}

// "0_2_*_*_*"
std::string Cron(std::string text) {
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

// "before/after", at the last slash: an expression may have some of its own.
std::pair<std::string, std::string> AtLastSlash(const std::string& text) {
  const size_t slash = text.rfind('/');
  RACKMARK_CHECK(slash != std::string::npos);
  return {text.substr(0, slash), text.substr(slash + 1)};
}

std::string Outcome(v1::SuiteOutcome outcome) {
  return v1::SuiteOutcome_Name(outcome).substr(std::string("SUITE_OUTCOME_").size());
}

std::string Missed(const v1::MissedInstants& missed) {
  return absl::StrCat("missed ", missed.more() ? "over " : "", missed.count(), ", ",
                      TimeText(missed.first_unix_ns()), " to ", TimeText(missed.last_unix_ns()));
}

std::string Describe(const v1::Finding& finding) {
  return absl::StrCat(
      v1::FindingKind_Name(finding.kind()).substr(std::string("FINDING_KIND_").size()), " ",
      SentenceOf(finding));
}

}  // namespace

Nanos ParseTime(const std::string& text) {
  absl::Time time;
  std::string error;
  RACKMARK_CHECK(absl::ParseTime(absl::RFC3339_full, text, &time, &error));
  return absl::ToUnixNanos(time);
}

std::string TimeText(Nanos unix_ns) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixNanos(unix_ns), absl::UTCTimeZone());
}

void AddPart(const Options& options, v1::Job& job) {
  v1::SuitePart& part = *job.mutable_part();
  part.set_name(job.name());
  part.set_gate(Text(options, "gate") == "yes");
  for (const std::string& word : List(Text(options, "after"))) {
    const std::vector<std::string> halves = List(word, ':');
    v1::Dependency* dependency = part.add_after();
    dependency->set_part(halves[0]);
    const bool any = halves.size() > 1 && halves[1] == "any";
    dependency->set_when(any ? v1::DEPENDENCY_WHEN_ANY : v1::DEPENDENCY_WHEN_SUCCESS);
  }
}

v1::Expectation MakeExpectation(const Options& options) {
  v1::Expectation expect;
  for (const std::string& name : List(Text(options, "nodes"))) expect.add_nodes(name);
  if (Has(options, "count")) expect.set_node_count(Count(Text(options, "count")));
  if (Has(options, "per_node")) expect.set_devices_per_node(Count(Text(options, "per_node")));
  if (Text(options, "kind") == "gpu") expect.set_kind(v1::DEVICE_KIND_GPU);
  expect.set_model(Text(options, "model"));
  if (Has(options, "links")) expect.set_links_per_device(Count(Text(options, "links")));
  if (Text(options, "domain") == "one") expect.set_one_domain(true);
  expect.set_alike(Text(options, "alike") == "yes");
  expect.set_driver(Text(options, "driver"));
  if (Has(options, "wait")) expect.set_wait_ns(ParseDuration(Text(options, "wait")));
  for (const std::string& word : List(Text(options, "label"))) {
    const std::vector<std::string> halves = List(word, ':');
    (*expect.mutable_labels())[halves.at(0)] = halves.at(1);
  }
  for (const std::string& word : List(Text(options, "slots"))) {
    const std::vector<std::string> halves = List(word, ':');
    const auto [node, slot] = AtLastSlash(halves.at(0));
    v1::ExpectedPart* part = expect.add_slots();
    part->set_node(node);
    part->set_slot(slot);
    part->set_serial(halves.at(1));
  }
  return expect;
}

void AddParts(const Options& options, v1::NodeInfo& info) {
  info.set_driver(Text(options, "driver"));
  const std::vector<std::string> serials = List(Text(options, "serials"));
  const std::vector<std::string> links = List(Text(options, "links"));
  for (int i = 0; i < info.devices_size(); ++i) {
    v1::Device& device = *info.mutable_devices(i);
    const auto at = static_cast<size_t>(i);
    if (at < serials.size()) {
      device.set_serial(serials[at]);
      device.set_slot(absl::StrCat(i));
    }
    if (!links.empty()) device.set_links(Count(links[std::min(at, links.size() - 1)]));
    if (!Has(options, "gib")) continue;
    device.set_memory_bytes(uint64_t{Count(Text(options, "gib"))} << 30);
  }
}

v1::Schedule MakeSchedule(const std::string& name, const Options& options) {
  v1::Schedule schedule;
  schedule.set_name(name);
  schedule.set_when(Cron(Text(options, "when")));
  schedule.set_time_zone(Text(options, "zone"));
  const std::string policy = Text(options, "policy");
  schedule.set_concurrency(policy == "forbid"    ? v1::CONCURRENCY_POLICY_FORBID
                           : policy == "replace" ? v1::CONCURRENCY_POLICY_REPLACE
                                                 : v1::CONCURRENCY_POLICY_ALLOW);
  if (Has(options, "deadline")) {
    schedule.set_starting_deadline_ns(ParseDuration(Text(options, "deadline")));
  }
  if (Has(options, "jitter")) schedule.set_jitter_ns(ParseDuration(Text(options, "jitter")));
  schedule.set_suspend(Text(options, "suspend") == "yes");
  if (Has(options, "closed")) {
    const auto [opens, length] = AtLastSlash(Text(options, "closed"));
    schedule.add_closed()->set_opens(Cron(opens));
    schedule.mutable_closed(0)->set_length_ns(ParseDuration(length));
  }
  if (Has(options, "budget")) {
    const auto [begins, seconds] = AtLastSlash(Text(options, "budget"));
    schedule.mutable_budget()->set_begins(Cron(begins));
    schedule.mutable_budget()->set_node_seconds(Count(seconds));
  }
  schedule.set_keep_successful(3);
  schedule.set_keep_failed(1);
  if (Has(options, "keep")) {
    const auto [successful, failed] = AtLastSlash(Text(options, "keep"));
    schedule.set_keep_successful(Count(successful));
    schedule.set_keep_failed(Count(failed));
  }
  return schedule;
}

std::vector<std::string> DescribeSuite(const State& state, SuiteId id) {
  const v1::SuiteStatus suite = ViewSuite(state, id);
  std::vector<std::string> lines = {absl::StrCat(suite.name(), " ",
                                                 suite.outcome() == v1::SUITE_OUTCOME_UNKNOWN
                                                     ? std::string("is open")
                                                     : Outcome(suite.outcome()))};
  for (const v1::Finding& finding : suite.findings()) lines.push_back(Describe(finding));
  for (const v1::JobStatus& job : suite.jobs()) {
    std::string line = absl::StrCat(job.part(), " ", v1::JobPhase_Name(job.phase()).substr(10));
    if (job.phase() == v1::JOB_PHASE_ENDED) {
      line = absl::StrCat(job.part(), " ", v1::Verdict_Name(job.verdict()).substr(8));
    }
    for (const std::string& reason : job.waiting_reasons()) absl::StrAppend(&line, "; ", reason);
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string DescribeSchedule(const State& state, ScheduleId id, Now now) {
  const v1::ScheduleStatus schedule = ViewSchedule(state, id, now);
  std::string text = absl::StrCat(schedule.schedule().name(), " runs ", schedule.running());
  for (const int64_t next : schedule.next_unix_ns()) {
    absl::StrAppend(&text, next == schedule.next_unix_ns(0) ? ", next " : " ", TimeText(next));
  }
  if (schedule.last_unix_ns() != 0) {
    absl::StrAppend(&text, ", last ", TimeText(schedule.last_unix_ns()));
  }
  if (schedule.has_missed()) absl::StrAppend(&text, ", ", Missed(schedule.missed()));
  if (!schedule.held().empty()) absl::StrAppend(&text, ", ", schedule.held());
  return text;
}

bool IsSuiteEvent(const v1::Event& event) {
  return event.has_suite_submitted() || event.has_suite_checked() || event.has_suite_ended() ||
         event.has_schedule_set() || event.has_schedule_removed() || event.has_schedule_decided();
}

std::string DescribeSuiteEvent(const v1::Event& event) {
  if (event.has_suite_submitted()) {
    const v1::SuiteSubmitted& change = event.suite_submitted();
    return absl::StrCat(
        "SuiteSubmitted s", change.suite_id(), " ", change.suite().name(), " j",
        change.first_job_id(), "..j",
        change.first_job_id() + static_cast<uint64_t>(change.suite().jobs_size()) - 1);
  }
  if (event.has_suite_checked()) {
    std::string text = absl::StrCat("SuiteChecked s", event.suite_checked().suite_id());
    for (const v1::Finding& finding : event.suite_checked().findings()) {
      absl::StrAppend(&text, "; ", Describe(finding));
    }
    return text;
  }
  if (event.has_suite_ended()) {
    std::string text = absl::StrCat("SuiteEnded s", event.suite_ended().suite_id(), " ",
                                    Outcome(event.suite_ended().outcome()));
    for (const v1::Finding& finding : event.suite_ended().findings()) {
      absl::StrAppend(&text, "; ", Describe(finding));
    }
    return text;
  }
  if (event.has_schedule_set()) {
    return absl::StrCat("ScheduleSet ", event.schedule_set().schedule_id(), " ",
                        event.schedule_set().schedule().name(), " from ",
                        TimeText(event.schedule_set().decided_unix_ns()), " on");
  }
  if (event.has_schedule_removed()) {
    return absl::StrCat("ScheduleRemoved ", event.schedule_removed().schedule_id());
  }
  const v1::ScheduleDecided& change = event.schedule_decided();
  std::string text = absl::StrCat("ScheduleDecided ", change.schedule_id());
  if (change.has_start_unix_ns()) {
    absl::StrAppend(&text, " begin ", TimeText(change.start_unix_ns()));
  }
  if (change.has_missed()) absl::StrAppend(&text, " ", Missed(change.missed()));
  return text;
}

std::string DescribeSuites(const HardState& hard) {
  std::string text = absl::StrCat("\nsuites ", hard.last_suite, " schedules ", hard.last_schedule);
  for (const auto& [id, suite] : hard.suites) {
    absl::StrAppend(&text, "\nsuite ", id.value, " ", suite.submission_id, " ", suite.by.name(),
                    " ", suite.submitted_unix_ns, " jobs from ", suite.first_job.value, " checked ",
                    suite.checked, " ended ", suite.ended_unix_ns, " ", suite.outcome, " ",
                    suite.suite.ShortDebugString());
    for (const v1::Finding& finding : suite.findings) {
      absl::StrAppend(&text, " finding ", finding.ShortDebugString());
    }
    for (const auto& verdict : suite.verdicts) {
      absl::StrAppend(&text, " ", verdict.value_or(v1::VERDICT_UNKNOWN));
    }
  }
  for (const auto& [id, name] : hard.suite_submissions) {
    absl::StrAppend(&text, "\nsuite submission ", id, " ", name.value);
  }
  for (const auto& [id, schedule] : hard.schedules) {
    absl::StrAppend(&text, "\nschedule ", id.value, " ", schedule.by.name(), " decided ",
                    schedule.decided, " ", schedule.schedule.ShortDebugString());
    for (const v1::ScheduledJob& job : schedule.jobs) {
      absl::StrAppend(&text, " job ", job.ShortDebugString());
    }
    if (schedule.missed.has_value()) {
      absl::StrAppend(&text, " missed ", schedule.missed->ShortDebugString());
    }
  }
  for (const auto& [name, id] : hard.schedule_by_name) {
    absl::StrAppend(&text, "\nschedule name ", name, " ", id.value);
  }
  return text;
}

}  // namespace rackmark
