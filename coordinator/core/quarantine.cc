#include "coordinator/core/quarantine.h"

#include <algorithm>
#include <map>
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

// Those that count, oldest first.
std::vector<const v1::Offence*> Counted(const State& state, const NodeState& node) {
  std::vector<const v1::Offence*> counted;
  if (node.offences.empty()) return counted;
  const int64_t end = WindowEnd(node);
  const std::set<Cause> common = CommonCauses(state, node, end);
  std::set<Cause> seen;
  for (const v1::Offence& offence : node.offences) {
    if (!IsWithin(state.config, offence.unix_ns(), end)) continue;
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
  size_t tested = 0;       // nodes, within the window of the node
  size_t quarantined = 0;  // of these
  bool lets = false;       // one more of them may go
};

Breaker AskBreaker(const State& state, const NodeState& node) {
  const CoreConfig& config = state.config;
  const int64_t end = WindowEnd(node);
  Breaker breaker;
  for (const auto& [id, other] : state.hard.nodes) {
    bool tested = other.tested_unix_ns != 0 && IsWithin(config, other.tested_unix_ns, end);
    for (const v1::Offence& offence : other.offences) {
      tested = tested || IsWithin(config, offence.unix_ns(), end);
    }
    if (!tested) continue;
    ++breaker.tested;
    if (other.standing == v1::STANDING_QUARANTINED) ++breaker.quarantined;
  }
  const size_t allowed = std::max<size_t>(1, breaker.tested * config.quarantine_percent / 100);
  breaker.lets = breaker.quarantined + 1 <= allowed;
  return breaker;
}

void Emit(const NodeState& node, v1::Standing standing, std::string_view reason,
          std::vector<v1::Event>& events) {
  v1::NodeStandingChanged* change = events.emplace_back().mutable_node_standing_changed();
  change->set_node_id(node.id.value);
  change->set_standing(standing);
  change->set_reason(std::string(reason));
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
    if (!back && !AskBreaker(state, node).lets) continue;
    Emit(node, v1::STANDING_QUARANTINED, Charge(state, node), events);
    return true;
  }
  return false;
}

void EmitTested(const State& state, const RunState& run, v1::Verdict verdict,
                std::vector<v1::Event>& events) {
  if (verdict != v1::VERDICT_PASS) return;
  const JobState& job = state.hard.jobs.at(run.job);
  for (NodeId id : NodesOf(run.placement)) {
    const NodeState& node = state.hard.nodes.at(id);
    const std::string which = DisplayRun(state.hard.cluster_id, run.id);
    if (node.standing == v1::STANDING_QUARANTINED && job.job.spec().gang().quarantined()) {
      Emit(node, v1::STANDING_PROBATION, absl::StrCat("run ", which, " passed on it"), events);
    } else if (node.standing == v1::STANDING_PROBATION && node.offences.empty() &&
               node.tested + 1 >= state.config.probation_runs) {
      Emit(node, v1::STANDING_GOOD,
           absl::StrCat(node.tested + 1, " runs passed on probation, the last one ", which),
           events);
    }
  }
}

std::string BreakerNote(const State& state, const NodeState& node) {
  if (state.soft.breaker_holds.count(node.id) == 0 || !MustLeave(state, node)) return "";
  const Breaker breaker = AskBreaker(state, node);
  return absl::StrCat("kept, though it has ", Charge(state, node), "; ", breaker.quarantined,
                      " of ", breaker.tested, " tested nodes are in quarantine, and ",
                      state.config.quarantine_percent, " % at most may be");
}

}  // namespace rackmark
