#include "coordinator/core/node_change.h"

#include <algorithm>

#include "common/text.h"
#include "coordinator/core/expect.h"

namespace rackmark {
namespace {

constexpr size_t kReasonMax = 512;
constexpr Nanos kGraceMax = 3600 * kSecond;  // as that of a job
constexpr size_t kNamed = 3;

absl::Status NoSuchNode(const HardState& hard, std::string_view name) {
  std::vector<std::string> names;
  for (const auto& [known, id] : hard.node_by_name) names.push_back(known);
  std::string message = absl::StrCat("there is no node ", EscapeControl(name));
  for (size_t i = 0; i < kNamed && !names.empty(); ++i) {
    const std::string near = Nearest(name, names);
    if (near.empty()) break;
    absl::StrAppend(&message, i == 0 ? "; did you mean " : ", ", EscapeControl(near));
    names.erase(std::find(names.begin(), names.end(), near));
  }
  return absl::NotFoundError(absl::StrCat(message, "; rackmark nodes lists those there are"));
}

absl::Status CheckChange(const ChangeNode& command) {
  if (!v1::NodeChange_IsValid(command.change) || command.change == v1::NODE_CHANGE_UNKNOWN) {
    return absl::InvalidArgumentError(
        "change must be one of CORDON, DRAIN, UNCORDON, QUARANTINE, READMIT and FORGET");
  }
  if (command.reason.size() > kReasonMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("the reason has ", command.reason.size(), " bytes, ", kReasonMax, " at most"));
  }
  if (!command.grace.has_value()) return absl::OkStatus();
  if (command.change != v1::NODE_CHANGE_DRAIN) {
    return absl::InvalidArgumentError("a grace belongs to DRAIN alone");
  }
  if (*command.grace >= 0 && *command.grace <= kGraceMax) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the grace must be 0 to ",
                                                 FormatDuration(kGraceMax), ", and is ",
                                                 FormatDuration(*command.grace)));
}

// What is said without a reason keeps the one that is there.
bool SaysSame(const std::string& reason, const std::string& known) {
  return reason.empty() || reason == known;
}

bool Cordon(const NodeState& node, const ChangeNode& command, std::vector<v1::Event>& events) {
  const bool cordoned = command.change != v1::NODE_CHANGE_UNCORDON;
  const bool drain = command.change == v1::NODE_CHANGE_DRAIN;
  const bool same = node.cordoned == cordoned && node.drain == drain &&
                    (!drain || node.drain_grace == command.grace);
  if (same && (!cordoned || SaysSame(command.reason, node.cordon_reason))) return false;
  v1::NodeCordoned* change = events.emplace_back().mutable_node_cordoned();
  change->set_node_id(node.id.value);
  change->set_cordoned(cordoned);
  change->set_drain(drain);
  if (cordoned) {
    const bool keep = node.cordoned && command.reason.empty();
    change->set_reason(keep ? node.cordon_reason : command.reason);
  }
  if (command.grace.has_value()) change->set_grace_ns(*command.grace);
  return true;
}

bool ChangeStanding(const NodeState& node, const ChangeNode& command,
                    std::vector<v1::Event>& events) {
  const bool readmit = command.change == v1::NODE_CHANGE_READMIT;
  const v1::Standing standing = readmit ? v1::STANDING_GOOD : v1::STANDING_QUARANTINED;
  // What its own offences did is taken back with them; a person's word is not.
  const bool by_hand =
      node.was == v1::STANDING_UNKNOWN && SaysSame(command.reason, node.standing_reason);
  const bool same = node.standing == standing && (readmit ? node.offences.empty() : by_hand);
  if (same) return false;
  v1::NodeStandingChanged* change = events.emplace_back().mutable_node_standing_changed();
  change->set_node_id(node.id.value);
  change->set_standing(standing);
  if (!readmit) change->set_reason(command.reason.empty() ? "by hand" : command.reason);
  return true;
}

// Only what nothing speaks of any more: its name may come back as another node.
absl::StatusOr<Decision> Forget(const State& state, const NodeState& node) {
  const std::string name = absl::StrCat("node ", EscapeControl(node.info.name()));
  if (node.phase != v1::NODE_PHASE_LOST) {
    return absl::FailedPreconditionError(
        absl::StrCat(name,
                     " is not lost; stop its worker, and ask again when rackmark nodes "
                     "shows it as lost"));
  }
  const auto refused = [&](JobId job) {
    const std::string display = DisplayJob(state.hard.cluster_id, job);
    return absl::FailedPreconditionError(absl::StrCat(name, " has work of job ", display,
                                                      "; wait until that has ended, or end it: "
                                                      "rackmark cancel ",
                                                      display));
  };
  if (!node.leases.empty()) return refused(state.hard.leases.at(*node.leases.begin()).job);
  if (const RunState* run = OpenRunOn(state.hard, node.id)) return refused(run->job);
  // That it was there, and left, is what such a suite ends with.
  for (const auto& [id, suite] : state.hard.suites) {
    if (!IsOpen(suite) || !suite.checked) continue;
    if (!expect::Meant(suite.suite.expect()).Includes(node.info)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(name, " is expected by suite ", EscapeControl(suite.suite.name()),
                     ", which is open; wait until that has ended"));
  }
  Decision decision;
  decision.events.emplace_back().mutable_node_forgotten()->set_node_id(node.id.value);
  decision.reply = NodeAltered{node.id, true};
  return decision;
}

}  // namespace

absl::StatusOr<Decision> DecideNodeChange(const State& state, const ChangeNode& command) {
  RETURN_IF_ERROR(CheckChange(command));
  const auto id = state.hard.node_by_name.find(command.node);
  if (id == state.hard.node_by_name.end()) return NoSuchNode(state.hard, command.node);
  const NodeState& node = state.hard.nodes.at(id->second);
  if (command.change == v1::NODE_CHANGE_FORGET) return Forget(state, node);
  const bool standing =
      command.change == v1::NODE_CHANGE_QUARANTINE || command.change == v1::NODE_CHANGE_READMIT;
  Decision decision;
  const bool changed = standing ? ChangeStanding(node, command, decision.events)
                                : Cordon(node, command, decision.events);
  decision.reply = NodeAltered{node.id, changed};
  return decision;
}

}  // namespace rackmark
