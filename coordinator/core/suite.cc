#include "coordinator/core/suite.h"

#include <algorithm>
#include <map>

#include "coordinator/core/expect.h"
#include "coordinator/core/observe.h"
#include "coordinator/core/planner.h"
#include "coordinator/core/submit.h"
#include "coordinator/core/suite_validate.h"

namespace rackmark {
namespace {

absl::Status CheckNew(const State& state, const SubmitSuite& command) {
  RETURN_IF_ERROR(ValidateSuite(command.suite));
  uint64_t bytes = command.suite.expect().ByteSizeLong();
  for (const v1::Job& job : command.suite.jobs()) {
    bytes += job.ByteSizeLong();
    const std::string submission = PartSubmission(command.submission_id, job);
    if (state.hard.submissions.count(submission) != 0) {
      return absl::AlreadyExistsError(absl::StrCat("a job was submitted as ", submission,
                                                   "; submit the suite under another id"));
    }
  }
  return CheckRoom(state, bytes);
}

bool HasBegun(const JobState& job) { return job.generations > 0; }

std::string_view VerdictName(v1::Verdict verdict) {
  std::string_view name = FromAbsl(v1::Verdict_Name(verdict));
  return name.substr(std::string_view("VERDICT_").size());
}

Admission Wait(std::string why) { return {false, std::move(why), std::nullopt}; }

Admission Skip(v1::FailureKind kind, std::string why) {
  v1::Failure failure;
  failure.set_kind(kind);
  failure.set_detail(std::move(why));
  return {false, failure.detail(), failure};
}

std::string PartName(const SuiteState& suite, size_t at) {
  return suite.suite.jobs(static_cast<int>(at)).part().name();
}

// By what it comes after itself. Both kinds of wait end with the other part.
Admission ByDependencies(const SuiteState& suite, const v1::SuitePart& part) {
  Admission admission;
  for (const v1::Dependency& dependency : part.after()) {
    const std::optional<size_t> at = PartOf(suite, dependency.part());
    if (!at.has_value()) continue;
    const std::optional<v1::Verdict>& verdict = suite.verdicts[*at];
    if (!verdict.has_value()) {
      if (admission.free) admission = Wait(absl::StrCat("part ", dependency.part(), " to end"));
    } else if (dependency.when() == v1::DEPENDENCY_WHEN_SUCCESS && *verdict != v1::VERDICT_PASS) {
      return Skip(v1::FAILURE_KIND_DEPENDENCY,
                  absl::StrCat("part ", dependency.part(), " ended ", ToAbsl(VerdictName(*verdict)),
                               ", and this one is only for its success"));
    }
  }
  return admission;
}

// A gate stops all that waits for anything, wherever it stands; only one that stands before a part
// is waited for, so that no two can wait for each other.
Admission ByGates(const SuiteState& suite, size_t at) {
  Admission admission;
  for (size_t i = 0; i < suite.verdicts.size(); ++i) {
    if (i == at || !suite.suite.jobs(static_cast<int>(i)).part().gate()) continue;
    const std::optional<v1::Verdict>& verdict = suite.verdicts[i];
    if (verdict.has_value() && *verdict != v1::VERDICT_PASS) {
      return Skip(v1::FAILURE_KIND_DEPENDENCY,
                  absl::StrCat("gate ", PartName(suite, i), " ended ",
                               ToAbsl(VerdictName(*verdict)), ", and this part is behind it"));
    }
    if (!verdict.has_value() && i < at && admission.free) {
      admission = Wait(absl::StrCat("gate ", PartName(suite, i), " to pass"));
    }
  }
  return admission;
}

Admission ByExpectation(const SuiteState& suite) {
  if (!suite.suite.has_expect()) return {};
  if (!suite.checked) return Wait("the nodes that the suite expects to report");
  size_t faults = 0;
  const v1::Finding* first = nullptr;
  for (const v1::Finding& finding : suite.findings) {
    if (finding.kind() == v1::FINDING_KIND_EXCLUDED) continue;
    if (faults++ == 0) first = &finding;
  }
  if (first == nullptr) return {};
  std::string detail = SentenceOf(*first);
  if (faults > 1) absl::StrAppend(&detail, "; and ", faults - 1, " more");
  return Skip(v1::FAILURE_KIND_EXPECTATION, std::move(detail));
}

// A node as its last Report, and what people and the core say of it.
expect::Seen LookAt(const State& state, const NodeState& node) {
  if (node.phase == v1::NODE_PHASE_LOST) return {&node.info, expect::Presence::kAbsent, "lost"};
  if (node.cordoned) return {&node.info, expect::Presence::kSetAside, "cordoned"};
  if (node.standing == v1::STANDING_QUARANTINED) {
    return {&node.info, expect::Presence::kSetAside, "in quarantine"};
  }
  if (node.phase == v1::NODE_PHASE_SUSPECT) {
    return {&node.info, expect::Presence::kSilent, "silent"};
  }
  if (ReportOf(state, node.id) != nullptr) return {&node.info, expect::Presence::kThere, ""};
  return {&node.info, expect::Presence::kSilent, "not heard of since the coordinator started"};
}

bool IsMeant(const v1::Expectation& expectation, const v1::Device& device) {
  return expectation.kind() == v1::DEVICE_KIND_UNKNOWN || device.kind() == expectation.kind();
}

// By index, as the node's Report says. REQUIRES: it has reported.
std::map<uint32_t, const v1::DeviceReport*> SaidOf(const State& state, const NodeState& node) {
  std::map<uint32_t, const v1::DeviceReport*> said;
  for (const v1::DeviceReport& device : ReportOf(state, node.id)->devices()) {
    said[device.index()] = &device;
  }
  return said;
}

// The same and its devices, as the planner takes them: those that nothing is ever placed on.
expect::Seen LookWhole(const State& state, const v1::Expectation& expectation,
                       const NodeState& node) {
  expect::Seen seen = LookAt(state, node);
  if (seen.presence != expect::Presence::kThere) return seen;
  const auto said = SaidOf(state, node);
  for (const v1::Device& device : node.info.devices()) {
    if (!IsMeant(expectation, device)) continue;
    const auto word = said.find(device.index());
    std::string why;
    if (word == said.end()) {
      why = "it is not in the node's report";
    } else if (!word->second->healthy()) {
      const std::string& reason = word->second->unhealthy_reason();
      why = absl::StrCat("unhealthy", reason.empty() ? "" : ": ", reason);
    } else if (device.kind() == v1::DEVICE_KIND_GPU) {
      why = WhyUnused(node, device.index());
    }
    if (!why.empty()) seen.unusable.emplace(device.index(), std::move(why));
  }
  return seen;
}

// Those that it means report themselves healthy.
bool AllHealthy(const State& state, const v1::Expectation& expectation, const NodeState& node) {
  const auto said = SaidOf(state, node);
  return std::all_of(
      node.info.devices().begin(), node.info.devices().end(), [&](const v1::Device& device) {
        const auto word = said.find(device.index());
        return !IsMeant(expectation, device) || (word != said.end() && word->second->healthy());
      });
}

// All that is waited for has reported, or will not. Ends at the first that has not: a cluster that
// has just started asks this with each node that it hears of. A device that is not well may yet be.
bool AllReported(const State& state, const v1::Expectation& expectation) {
  const expect::Meant meant(expectation);
  uint32_t present = 0;
  std::set<std::string> heard;
  for (const auto& [id, node] : state.hard.nodes) {
    if (!meant.Includes(node.info)) continue;
    const expect::Presence presence = LookAt(state, node).presence;
    if (presence == expect::Presence::kSilent) return false;
    const bool there = presence == expect::Presence::kThere;
    if (there && !AllHealthy(state, expectation, node)) return false;
    if (meant.IsNamed(node.info.name())) heard.insert(node.info.name());
    if (presence != expect::Presence::kAbsent) ++present;
  }
  return meant.Complete(heard, present);
}

void CheckSuite(const State& state, const SuiteState& suite, Nanos now,
                std::vector<v1::Event>& events) {
  const v1::Expectation& expectation = suite.suite.expect();
  const std::optional<Nanos> deadline = CheckDeadline(state, suite);
  const bool over = !deadline.has_value() || now >= *deadline;
  if (!over && !AllReported(state, expectation)) return;
  std::vector<expect::Seen> nodes;
  for (const auto& [id, node] : state.hard.nodes) {
    nodes.push_back(LookWhole(state, expectation, node));
  }
  v1::SuiteChecked* change = events.emplace_back().mutable_suite_checked();
  change->set_suite_id(suite.id.value);
  for (v1::Finding& finding : expect::Compare(expectation, nodes)) {
    *change->add_findings() = std::move(finding);
  }
}

v1::SuiteOutcome OutcomeOf(const SuiteState& suite) {
  bool incomplete = !suite.findings.empty() || (suite.suite.has_expect() && !suite.checked);
  if (HasFault(suite)) return v1::SUITE_OUTCOME_FAIL;
  for (const std::optional<v1::Verdict>& verdict : suite.verdicts) {
    switch (*verdict) {
      case v1::VERDICT_PASS: break;
      case v1::VERDICT_SKIPPED:
      case v1::VERDICT_CANCELLED:
      case v1::VERDICT_INVALID: incomplete = true; break;
      default: return v1::SUITE_OUTCOME_FAIL;
    }
  }
  return incomplete ? v1::SUITE_OUTCOME_INCOMPLETE : v1::SUITE_OUTCOME_PASS;
}

// What it expects was there when its jobs began. Of a node that is silent just now, as all are
// after a restart, nothing is said: it is excluded when it is lost.
std::vector<v1::Finding> ExcludedSince(const State& state, const SuiteState& suite) {
  const v1::Expectation& expectation = suite.suite.expect();
  std::vector<expect::Seen> nodes;
  for (const auto& [id, node] : state.hard.nodes) {
    expect::Seen& seen = nodes.emplace_back(LookWhole(state, expectation, node));
    if (seen.presence == expect::Presence::kSilent) seen.presence = expect::Presence::kThere;
  }
  return expect::Excluded(expectation, nodes);
}

bool IsKnown(const SuiteState& suite, const v1::Finding& finding) {
  return std::any_of(suite.findings.begin(), suite.findings.end(), [&](const v1::Finding& known) {
    return known.node() == finding.node() && known.has_device() == finding.has_device() &&
           known.device() == finding.device();
  });
}

// Parts that left since it was looked at, once each: one that comes back was away all the same.
void NoteLeft(const State& state, const SuiteState& suite, std::vector<v1::Event>& events) {
  std::vector<expect::Seen> nodes;
  for (NodeId id : state.soft.left_nodes) {
    const auto node = state.hard.nodes.find(id);
    if (node == state.hard.nodes.end()) continue;
    expect::Seen seen = LookWhole(state, suite.suite.expect(), node->second);
    const bool whole = seen.presence == expect::Presence::kThere && seen.unusable.empty();
    if (!whole && seen.presence != expect::Presence::kSilent) nodes.push_back(std::move(seen));
  }
  if (nodes.empty()) return;
  v1::Expectation expectation = suite.suite.expect();
  expectation.clear_node_count();  // who was counted and leaves is missed, whoever comes for it
  v1::SuiteChecked change;
  change.set_suite_id(suite.id.value);
  for (v1::Finding& finding : expect::Excluded(expectation, nodes)) {
    if (!IsKnown(suite, finding)) *change.add_findings() = std::move(finding);
  }
  const bool room = suite.findings.size() < expect::kFindingsMax;
  if (change.findings_size() > 0 && room) *events.emplace_back().mutable_suite_checked() = change;
}

// A part that is away at the end was not tested to the end, though all may have passed elsewhere.
void EndSuite(const State& state, const SuiteState& suite, std::vector<v1::Event>& events) {
  v1::SuiteEnded* change = events.emplace_back().mutable_suite_ended();
  change->set_suite_id(suite.id.value);
  change->set_outcome(OutcomeOf(suite));
  if (change->outcome() != v1::SUITE_OUTCOME_PASS || !suite.suite.has_expect()) return;
  for (v1::Finding& finding : ExcludedSince(state, suite)) {
    *change->add_findings() = std::move(finding);
  }
  if (change->findings_size() > 0) change->set_outcome(v1::SUITE_OUTCOME_INCOMPLETE);
}

bool AllEnded(const SuiteState& suite) {
  return std::all_of(suite.verdicts.begin(), suite.verdicts.end(),
                     [](const auto& verdict) { return verdict.has_value(); });
}

void AddJobs(const SuiteState& suite, std::set<JobId>& jobs) {
  for (size_t i = 0; i < suite.verdicts.size(); ++i) {
    if (!suite.verdicts[i].has_value()) jobs.insert(JobId{suite.first_job.value + i});
  }
}

}  // namespace

absl::StatusOr<Decision> DecideSubmitSuite(const State& state, const SubmitSuite& command) {
  RETURN_IF_ERROR(CheckSubmissionId(command.submission_id));
  Decision decision;
  const auto before = state.hard.suite_submissions.find(command.submission_id);
  if (before != state.hard.suite_submissions.end()) {
    const SuiteState& suite = state.hard.suites.at(before->second);
    decision.reply = SuiteAccepted{suite.id, suite.first_job, true, {}};
    return decision;
  }
  RETURN_IF_ERROR(CheckNew(state, command));
  v1::Suite suite = command.suite;
  suite.clear_scheduled();
  SuiteAccepted reply;
  for (v1::Job& job : *suite.mutable_jobs()) {
    job.clear_scheduled();
    const std::string note = ImpossibleNote(state, job.spec().gang());
    if (!note.empty()) reply.notes.push_back(absl::StrCat(job.part().name(), ": ", note));
  }
  NextIds next(state.hard);
  reply.first_job = JobId{next.job};
  reply.suite = EmitSuite(std::move(suite), command.submission_id, next, decision.events);
  decision.reply = std::move(reply);
  return decision;
}

Admission AdmissionOf(const State& state, const JobState& job) {
  const SuiteState* suite = SuiteOf(state.hard, job);
  if (suite == nullptr || HasBegun(job)) return {};
  Admission expected = ByExpectation(*suite);
  if (!expected.free) return expected;
  const v1::SuitePart& part = job.job.part();
  if (part.after().empty()) return {};
  Admission gates = ByGates(*suite, job.id.value - suite->first_job.value);
  if (gates.skipped.has_value()) return gates;
  Admission dependencies = ByDependencies(*suite, part);
  return dependencies.free ? gates : dependencies;
}

bool IsBlocked(const State& state, const JobState& job) {
  return job.job.has_part() && !AdmissionOf(state, job).free;
}

std::optional<Nanos> CheckDeadline(const State& state, const SuiteState& suite) {
  if (!IsOpen(suite) || suite.checked || !suite.suite.has_expect()) return std::nullopt;
  const auto since = state.soft.suite_since.find(suite.id);
  const Nanos from =
      since == state.soft.suite_since.end() ? state.soft.listening_since : since->second;
  return from + std::min<Nanos>(suite.suite.expect().wait_ns(), kExpectWaitMax);
}

void StepSuites(const State& state, Nanos now, std::vector<v1::Event>& events) {
  for (const auto& [id, suite] : state.hard.suites) {
    if (!IsOpen(suite)) continue;
    if (AllEnded(suite)) {
      EndSuite(state, suite, events);
    } else if (suite.suite.has_expect() && !suite.checked) {
      CheckSuite(state, suite, now, events);
    } else if (suite.suite.has_expect() && !state.soft.left_nodes.empty()) {
      NoteLeft(state, suite, events);
    }
  }
}

void AddAffected(const HardState& hard, const v1::Event& event, std::set<JobId>& jobs) {
  if (event.has_suite_checked()) {
    AddJobs(hard.suites.at(SuiteId{event.suite_checked().suite_id()}), jobs);
  } else if (event.has_job_submitted()) {
    jobs.insert(JobId{event.job_submitted().job_id()});
  } else if (event.has_job_cancel_requested()) {
    jobs.insert(JobId{event.job_cancel_requested().job_id()});
  } else if (event.has_job_ended()) {
    const JobId ended{event.job_ended().job_id()};
    for (const auto& [id, suite] : hard.suites) {
      const uint64_t first = suite.first_job.value;
      if (ended.value >= first && ended.value < first + suite.verdicts.size()) AddJobs(suite, jobs);
    }
  }
}

bool HasFault(const SuiteState& suite) {
  return std::any_of(suite.findings.begin(), suite.findings.end(), [](const v1::Finding& finding) {
    return finding.kind() != v1::FINDING_KIND_EXCLUDED;
  });
}

}  // namespace rackmark
