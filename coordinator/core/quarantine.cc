#include "coordinator/core/quarantine.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "coordinator/core/observe.h"

namespace rackmark {
namespace {

constexpr size_t kNamed = 4;

using Cause = std::pair<uint64_t, v1::FailureKind>;  // job and kind

Cause CauseOf(const v1::Offence& offence) { return {offence.job_id(), offence.kind()}; }

bool IsTheMachines(v1::FailureKind kind) {
  return kind == v1::FAILURE_KIND_DEVICE || kind == v1::FAILURE_KIND_NODE_LOST;
}

// The window ends where the node was last seen at work, so that old offences fade though a node
// commits no new one, and no clock of ours is asked.
int64_t WindowEnd(const NodeState& node) {
  const int64_t offence = node.offences.empty() ? 0 : node.offences.back().unix_ns();
  return std::max(offence, node.tested_unix_ns);
}

bool IsWithin(const CoreConfig& config, int64_t unix_ns, int64_t end) {
  return unix_ns > end - config.quarantine_window;
}

// Causes that another node met too: no single node's.
std::set<Cause> CommonCauses(const State& state, const NodeState& node, int64_t end) {
  std::set<Cause> own, common;
  for (const v1::Offence& offence : node.offences) {
    if (!IsTheMachines(offence.kind())) own.insert(CauseOf(offence));
  }
  if (own.empty()) return common;
  for (const auto& [id, other] : state.hard.nodes) {
    if (id == node.id) continue;
    for (const v1::Offence& offence : other.offences) {
      const bool shared = own.count(CauseOf(offence)) != 0;
      if (shared && IsWithin(state.config, offence.unix_ns(), end)) common.insert(CauseOf(offence));
    }
  }
  return common;
}

// Those that count, oldest first. A node that is lost is lost once, whatever was on it.
std::vector<const v1::Offence*> Counted(const State& state, const NodeState& node) {
  std::vector<const v1::Offence*> counted;
  if (node.offences.empty()) return counted;
  const int64_t end = WindowEnd(node);
  const std::set<Cause> common = CommonCauses(state, node, end);
  std::set<Cause> seen;
  std::set<int64_t> losses;
  for (const v1::Offence& offence : node.offences) {
    if (!IsWithin(state.config, offence.unix_ns(), end)) continue;
    const bool lost = offence.kind() == v1::FAILURE_KIND_NODE_LOST;
    if (lost && !losses.insert(offence.unix_ns()).second) continue;
    if (!IsTheMachines(offence.kind())) {
      if (common.count(CauseOf(offence)) != 0 || !seen.insert(CauseOf(offence)).second) continue;
    }
    counted.push_back(&offence);
  }
  return counted;
}

std::string Describe(const State& state, const v1::Offence& offence) {
  constexpr std::string_view kPrefix = "FAILURE_KIND_";
  std::string text = v1::FailureKind_Name(offence.kind()).substr(kPrefix.size());
  if (offence.has_device()) absl::StrAppend(&text, " of device ", offence.device());
  return absl::StrCat(text, " in job ", DisplayJob(state.hard.cluster_id, JobId{offence.job_id()}));
}

std::string Hours(Nanos window) {
  const Nanos hours = window / (3600 * kSecond);
  return hours > 0 ? absl::StrCat(hours, " h") : FormatDuration(window);
}

// "3 offences within 24 h: STALLED of device 0 in job c0ffee00-j1, ...".
std::string Charge(const State& state, const NodeState& node) {
  const auto counted = Counted(state, node);
  std::string text =
      node.standing == v1::STANDING_PROBATION
          ? std::string("on probation")
          : absl::StrCat(counted.size(), counted.size() == 1 ? " offence" : " offences", " within ",
                         Hours(state.config.quarantine_window));
  // The newest first: it is the one that tipped the scale.
  for (size_t i = 0; i < std::min(kNamed, counted.size()); ++i) {
    const v1::Offence& offence = *counted[counted.size() - 1 - i];
    absl::StrAppend(&text, i == 0 ? ": " : ", ", Describe(state, offence));
  }
  if (counted.size() > kNamed) absl::StrAppend(&text, " and ", counted.size() - kNamed, " more");
  return text;
}

struct Breaker {
  size_t tested = 0;       // nodes, within the window of the node, or in quarantine
  size_t quarantined = 0;  // of these
  bool lets = false;       // one more of them may go
  bool is_last = false;    // nothing else is in service
};

bool IsInService(const NodeState& node) {
  return node.standing != v1::STANDING_QUARANTINED && node.phase != v1::NODE_PHASE_LOST &&
         !node.cordoned;
}

Breaker AskBreaker(const State& state, const NodeState& node) {
  const CoreConfig& config = state.config;
  const int64_t end = WindowEnd(node);
  Breaker breaker;
  breaker.is_last = true;
  for (const auto& [id, other] : state.hard.nodes) {
    if (id != node.id && IsInService(other)) breaker.is_last = false;
    // Else those that went long ago would be forgotten, and one after the other all would go.
    const bool gone = other.standing == v1::STANDING_QUARANTINED;
    bool tested =
        gone || (other.tested_unix_ns != 0 && IsWithin(config, other.tested_unix_ns, end));
    for (const v1::Offence& offence : other.offences) {
      tested = tested || IsWithin(config, offence.unix_ns(), end);
    }
    if (!tested) continue;
    ++breaker.tested;
    if (gone) ++breaker.quarantined;
  }
  const size_t allowed = std::max<size_t>(1, breaker.tested * config.quarantine_percent / 100);
  breaker.lets = !breaker.is_last && breaker.quarantined + 1 <= allowed;
  return breaker;
}

v1::NodeStandingChanged& Emit(const NodeState& node, v1::Standing standing, std::string reason,
                              std::vector<v1::Event>& events) {
  v1::NodeStandingChanged& change = *events.emplace_back().mutable_node_standing_changed();
  change.set_node_id(node.id.value);
  change.set_standing(standing);
  change.set_reason(std::move(reason));
  return change;
}

// What a check that has passed as a whole was done on.
struct Checked {
  std::set<NodeId> nodes;
  std::set<std::pair<NodeId, uint32_t>> devices;
  std::string what;  // that passed
};

// Missing unless `last`, which passes now, was the last run of its job, and all others passed.
std::optional<Checked> WhatWasChecked(const State& state, const JobState& job,
                                      const RunState& last) {
  Checked checked;
  const auto add = [&checked](const RunState& run) {
    for (const v1::RankPlace& place : run.placement.ranks()) {
      checked.nodes.insert(NodeId{place.node_id()});
      checked.devices.insert({NodeId{place.node_id()}, place.device()});
    }
  };
  add(last);
  size_t runs = 1;
  for (RunId id : RunsOf(job)) {
    if (id == last.id) continue;
    const RunState& run = state.hard.runs.at(id);
    if (run.verdict != v1::VERDICT_PASS) return std::nullopt;
    add(run);
    ++runs;
  }
  const std::string& cluster = state.hard.cluster_id;
  checked.what = runs == 1 ? absl::StrCat("run ", DisplayRun(cluster, last.id), " passed on it")
                           : absl::StrCat("all ", runs, " runs of job ",
                                          DisplayJob(cluster, job.id), " passed");
  return checked;
}

// A device that is blamed, is still there, and was not checked.
std::optional<uint32_t> UntestedDevice(const NodeState& node, const Checked& checked) {
  for (const v1::Offence& offence : node.offences) {
    if (!offence.has_device() || checked.devices.count({node.id, offence.device()}) != 0) continue;
    for (const v1::Device& device : node.info.devices()) {
      if (device.index() == offence.device()) return offence.device();
    }
  }
  return std::nullopt;
}

// It stays where it is, and says why.
void EmitUntested(const NodeState& node, uint32_t device, std::vector<v1::Event>& events) {
  constexpr char kBut[] = "; a check passed, but not on device ";
  std::string reason = node.standing_reason.substr(0, node.standing_reason.find(kBut));
  absl::StrAppend(&reason, kBut, device, ", which is blamed");
  if (reason == node.standing_reason) return;
  Emit(node, v1::STANDING_QUARANTINED, std::move(reason), events).set_was(node.was);
}

void EmitChecked(const State& state, const Checked& checked, std::vector<v1::Event>& events) {
  for (NodeId id : checked.nodes) {
    const NodeState& node = state.hard.nodes.at(id);
    if (node.standing != v1::STANDING_QUARANTINED) continue;
    if (const auto device = UntestedDevice(node, checked)) {
      EmitUntested(node, *device, events);
    } else {
      Emit(node, v1::STANDING_PROBATION, checked.what, events);
    }
  }
}

}  // namespace

bool MustLeave(const State& state, const NodeState& node) {
  if (node.standing == v1::STANDING_QUARANTINED) return false;
  if (node.standing == v1::STANDING_PROBATION) return !node.offences.empty();
  if (node.offences.size() < state.config.quarantine_offences) return false;
  return Counted(state, node).size() >= state.config.quarantine_offences;
}

bool EmitStanding(const State& state, std::vector<v1::Event>& events) {
  for (NodeId id : state.soft.standing_wanted) {
    const NodeState& node = state.hard.nodes.at(id);
    if (!MustLeave(state, node)) continue;
    // A node on probation was in quarantine a while ago: to go back takes nothing from the rest.
    const bool back = node.standing == v1::STANDING_PROBATION;
    const Breaker breaker = AskBreaker(state, node);
    if (breaker.is_last || (!back && !breaker.lets)) continue;
    Emit(node, v1::STANDING_QUARANTINED, Charge(state, node), events).set_was(node.standing);
    return true;
  }
  return false;
}

void EmitTested(const State& state, const RunState& run, v1::Verdict verdict,
                std::vector<v1::Event>& events) {
  if (verdict != v1::VERDICT_PASS) return;
  const JobState& job = state.hard.jobs.at(run.job);
  if (job.job.spec().gang().quarantined()) {
    // Not before its last run: the others could not be placed on a node that is let out.
    if (const auto checked = WhatWasChecked(state, job, run)) EmitChecked(state, *checked, events);
  }
  for (NodeId id : NodesOf(run.placement)) {
    const NodeState& node = state.hard.nodes.at(id);
    if (node.standing != v1::STANDING_PROBATION || !node.offences.empty() ||
        node.tested + 1 < state.config.probation_runs) {
      continue;
    }
    Emit(node, v1::STANDING_GOOD,
         absl::StrCat(node.tested + 1, " runs passed on probation, the last one ",
                      DisplayRun(state.hard.cluster_id, run.id)),
         events);
  }
}

size_t OffencesTakenBack(const NodeState& node, const v1::NodeInfo& now) {
  if (node.phase != v1::NODE_PHASE_LOST || now.boot_id() != node.info.boot_id()) return 0;
  if (node.offences.empty()) return 0;
  const int64_t when = node.offences.back().unix_ns();  // of one turn: all that were on the node
  size_t back = 0;
  for (auto offence = node.offences.rbegin(); offence != node.offences.rend(); ++offence, ++back) {
    if (offence->unix_ns() != when || offence->kind() != v1::FAILURE_KIND_NODE_LOST) break;
  }
  return back;
}

void EmitTakenBack(const State& state, const NodeState& node, const v1::NodeInfo& now,
                   std::vector<v1::Event>& events) {
  if (node.standing != v1::STANDING_QUARANTINED || node.was == v1::STANDING_UNKNOWN) return;
  const size_t back = OffencesTakenBack(node, now);
  if (back == 0) return;
  NodeState after = node;
  after.standing = node.was;
  after.offences.resize(after.offences.size() - back);
  if (MustLeave(state, after)) return;
  Emit(node, node.was, "its worker was away, and its machine ran on", events)
      .set_keeps_offences(true);
}

std::string BreakerNote(const State& state, const NodeState& node) {
  if (state.soft.breaker_holds.count(node.id) == 0 || !MustLeave(state, node)) return "";
  const Breaker breaker = AskBreaker(state, node);
  if (breaker.is_last) {
    return absl::StrCat("kept, though it has ", Charge(state, node), "; no other is in service");
  }
  return absl::StrCat("kept, though it has ", Charge(state, node), "; ", breaker.quarantined,
                      " of ", breaker.tested, " tested nodes are in quarantine, and ",
                      state.config.quarantine_percent, " % at most may be");
}

}  // namespace rackmark
