// Decide: what each command causes by itself.
#include "coordinator/core/decide.h"

#include <algorithm>

#include "common/text.h"
#include "coordinator/core/blame.h"
#include "coordinator/core/emit.h"
#include "coordinator/core/node_change.h"
#include "coordinator/core/quarantine.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/schedules.h"
#include "coordinator/core/submit.h"
#include "coordinator/core/suite.h"
#include "coordinator/core/timers.h"
#include "coordinator/core/validate.h"
#include "coordinator/core/view.h"

namespace rackmark {
namespace {

void EnterPhase(const NodeState& node, v1::NodePhase phase, std::string_view reason,
                Decision& decision) {
  v1::NodeChanged* change = decision.events.emplace_back().mutable_node_changed();
  change->set_node_id(node.id.value);
  change->set_phase(phase);
  change->set_reason(std::string(reason));
}

absl::StatusOr<Decision> On(const State& state, const Tick&, Now now) {
  Decision decision;
  for (const NodeId id : state.soft.due_nodes.DueBy(now.monotonic)) {
    const NodeState& node = state.hard.nodes.at(id);
    if (node.phase == v1::NODE_PHASE_LOST) continue;
    const Nanos silence = SilenceOf(state, id, now.monotonic);
    const CoreConfig& config = state.config;
    if (node.phase == v1::NODE_PHASE_UP && silence >= config.suspect_after) {
      EnterPhase(node, v1::NODE_PHASE_SUSPECT,
                 absl::StrCat("no report for ", FormatDuration(config.suspect_after)), decision);
    }
    if (silence >= config.lost_after) {
      EnterPhase(node, v1::NODE_PHASE_LOST,
                 absl::StrCat("no report for ", FormatDuration(config.lost_after)), decision);
    }
  }
  return decision;
}

absl::StatusOr<Decision> On(const State& state, const TakeLeadership& command, Now) {
  Decision decision;
  if (command.incarnation.empty()) return absl::InvalidArgumentError("incarnation is empty");
  if (state.hard.cluster_id.empty()) {
    if (command.new_cluster_id.empty()) return absl::InvalidArgumentError("cluster_id is empty");
    decision.events.emplace_back().mutable_cluster_created()->set_cluster_id(
        command.new_cluster_id);
  }
  v1::LeadershipTaken* taken = decision.events.emplace_back().mutable_leadership_taken();
  taken->set_epoch(state.hard.epoch + 1);
  taken->set_incarnation(command.incarnation);
  return decision;
}

absl::StatusOr<Decision> On(const State& state, const SubmitJob& command, Now) {
  RETURN_IF_ERROR(CheckSubmissionId(command.submission_id));
  Decision decision;
  const auto before = state.hard.submissions.find(command.submission_id);
  if (before != state.hard.submissions.end()) {
    decision.reply = Submitted{before->second, true, ""};
    return decision;
  }
  RETURN_IF_ERROR(ValidateJob(command.job));
  RETURN_IF_ERROR(CheckRoom(state, command.job.ByteSizeLong()));
  v1::Job job = command.job;
  job.clear_part();  // only SubmitSuite and schedules make parts
  job.clear_scheduled();
  const std::string note = ImpossibleNote(state, job.spec().gang());
  NextIds next(state.hard);
  const JobId id = EmitJob(std::move(job), command.submission_id, next, decision.events);
  decision.reply = Submitted{id, false, note};
  return decision;
}

absl::StatusOr<Decision> On(const State& state, const SubmitSuite& command, Now) {
  return DecideSubmitSuite(state, command);
}

absl::StatusOr<Decision> On(const State& state, const ApplySchedule& command, Now now) {
  return DecideApplySchedule(state, command, now);
}

absl::StatusOr<Decision> On(const State& state, const RemoveSchedule& command, Now) {
  return DecideRemoveSchedule(state, command);
}

absl::StatusOr<Decision> On(const State& state, const CancelJob& command, Now) {
  const auto job = state.hard.jobs.find(command.job);
  const bool open = job != state.hard.jobs.end();
  if (!open && !HasEnded(state.hard, command.job)) {
    return NoSuchJob(state.hard.cluster_id, command.job);
  }
  Decision decision;
  decision.reply = Cancelled{open};
  if (open && !job->second.cancel_requested) {
    v1::JobCancelRequested* change = decision.events.emplace_back().mutable_job_cancel_requested();
    change->set_job_id(command.job.value);
    change->set_reason(command.reason);
  }
  return decision;
}

// A new incarnation holds nothing of the old one: what was live on the node has failed.
void Join(const State& state, const v1::Report& report, const NodeState* known,
          Decision& decision) {
  v1::NodeJoined* change = decision.events.emplace_back().mutable_node_joined();
  change->set_node_id(known == nullptr ? state.hard.last_node + 1 : known->id.value);
  change->set_incarnation(report.identity().incarnation());
  *change->mutable_info() = report.node();
  decision.reply = Heard{NodeId{change->node_id()}};
  if (known == nullptr) return;
  EmitTakenBack(state, *known, report.node(), decision.events);
  for (LeaseId id : known->leases) {
    const LeaseState& lease = state.hard.leases.at(id);
    if (lease.phase == v1::LEASE_PHASE_RELEASING) continue;
    FailLease(state, lease, NodeRestarted(*known, report.node()), decision.events);
  }
}

absl::Status CheckSender(const State& state, const v1::Report& report, const NodeState* known) {
  const v1::Identity& sender = report.identity();
  if (!sender.cluster_id().empty() && sender.cluster_id() != state.hard.cluster_id) {
    return absl::FailedPreconditionError(
        absl::StrCat("worker ", EscapeControl(report.node().name()), " belongs to cluster ",
                     EscapeControl(sender.cluster_id()), ", this is ", state.hard.cluster_id));
  }
  // Epochs of one cluster can be compared, and of none other: who names no cluster has heard
  // nobody.
  if (!sender.cluster_id().empty() && sender.epoch() > state.hard.epoch) {
    return absl::AbortedError(absl::StrCat("worker ", EscapeControl(report.node().name()),
                                           " has heard epoch ", sender.epoch(), ", ours is ",
                                           state.hard.epoch, ": another coordinator leads"));
  }
  if (known == nullptr || known->incarnation == sender.incarnation()) return absl::OkStatus();
  const auto& retired = known->retired;
  if (std::find(retired.begin(), retired.end(), sender.incarnation()) != retired.end()) {
    return absl::AlreadyExistsError(absl::StrCat("a newer worker has taken the name ",
                                                 EscapeControl(report.node().name()),
                                                 "; node names are unique"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Decision> On(const State& state, const NodeReported& command, Now) {
  const v1::Report& report = *command.report;
  RETURN_IF_ERROR(ValidateReport(report));
  const auto id = state.hard.node_by_name.find(report.node().name());
  const NodeState* known =
      id == state.hard.node_by_name.end() ? nullptr : &state.hard.nodes.at(id->second);
  RETURN_IF_ERROR(CheckSender(state, report, known));
  // One that an older coordinator took stays: its log must load, and its leases must end.
  if (known == nullptr) RETURN_IF_ERROR(CheckNewName(report.node().name()));
  Decision decision;
  if (known == nullptr || known->incarnation != report.identity().incarnation()) {
    Join(state, report, known, decision);
    return decision;
  }
  decision.reply = Heard{known->id};
  if (known->phase != v1::NODE_PHASE_UP && !IsStale(state, known->id, command)) {
    EnterPhase(*known, v1::NODE_PHASE_UP, "", decision);
  }
  return decision;
}

absl::StatusOr<Decision> On(const State& state, const StreamBroken& command, Now) {
  Decision decision;
  const auto node = state.hard.nodes.find(command.node);
  const auto soft = state.soft.nodes.find(command.node);
  if (node == state.hard.nodes.end() || soft == state.soft.nodes.end()) return decision;
  const bool current = soft->second.reported && soft->second.stream == command.stream;
  if (current && node->second.phase == v1::NODE_PHASE_UP) {
    EnterPhase(node->second, v1::NODE_PHASE_SUSPECT, "its Sync stream broke", decision);
  }
  return decision;
}

absl::StatusOr<Decision> On(const State& state, const JudgeRun& command, Now) {
  const auto found = state.hard.runs.find(command.run);
  const bool was = !command.run.IsNone() && command.run.value <= state.hard.last_run;
  if (found == state.hard.runs.end() && was) return Decision{};  // judged, and gone with its job
  if (found == state.hard.runs.end()) {
    return absl::NotFoundError(absl::StrCat("no run ", command.run.value));
  }
  if (command.verdict == v1::VERDICT_UNKNOWN || !v1::Verdict_IsValid(command.verdict)) {
    return absl::InvalidArgumentError("VERDICT_UNKNOWN is no verdict");
  }
  const RunState& run = found->second;
  if (command.attempt != run.attempt ||
      (run.phase != v1::RUN_PHASE_JUDGING && run.phase != v1::RUN_PHASE_ENDED)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "run ", run.id.value, " is in attempt ", run.attempt, ", ", v1::RunPhase_Name(run.phase),
        "; a verdict on attempt ", command.attempt, " is not wanted"));
  }
  Decision decision;
  if (run.phase == v1::RUN_PHASE_ENDED) return decision;
  v1::RunJudged* change = decision.events.emplace_back().mutable_run_judged();
  change->set_run_id(run.id.value);
  change->set_verdict(command.verdict);
  change->set_evidence_sha256(command.evidence_sha256);
  for (const std::string& reason : command.reasons) change->add_reasons(reason);
  EmitTested(state, run, command.verdict, decision.events);
  return decision;
}

// Soft: Turn takes it in.
absl::StatusOr<Decision> On(const State&, const StreamsStored&, Now) { return Decision{}; }

absl::StatusOr<Decision> On(const State& state, const ChangeNode& command, Now) {
  return DecideNodeChange(state, command);
}

bool IsOwn(const Command& command) { return std::holds_alternative<Tick>(command.body); }

}  // namespace

bool IsStale(const State& state, NodeId node, const NodeReported& command) {
  const auto soft = state.soft.nodes.find(node);
  if (soft == state.soft.nodes.end() || !soft->second.reported) return false;
  if (command.stream != soft->second.stream) return command.stream < soft->second.stream;
  return command.report->report_number() <= soft->second.report->report_number();
}

absl::StatusOr<Decision> Decide(const State& state, const Command& command, Now now) {
  if (state.soft.boot_id.empty() && !std::holds_alternative<TakeLeadership>(command.body)) {
    return absl::FailedPreconditionError("this coordinator does not lead yet");
  }
  auto decision = std::visit([&](const auto& body) { return On(state, body, now); }, command.body);
  if (!decision.ok()) return decision.status();
  Stamp(state.hard, IsOwn(command) ? CorePrincipal() : command.by, now, decision->events);
  return decision;
}

}  // namespace rackmark
