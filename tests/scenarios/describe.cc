#include "tests/scenarios/describe.h"

#include "common/status.h"
#include "common/time.h"
#include "tests/scenarios/suite_words.h"

namespace rackmark {
namespace {

using v1::Event;

// "RUN_PHASE_QUEUED" -> "QUEUED".
std::string Tail(const std::string& name, std::string_view prefix) {
  return name.substr(prefix.size());
}

std::string Describe(const v1::Failure& failure) {
  std::string text = Tail(v1::FailureKind_Name(failure.kind()), "FAILURE_KIND_");
  if (failure.has_rank()) absl::StrAppend(&text, " rank ", failure.rank());
  if (!failure.node().empty()) absl::StrAppend(&text, " on ", failure.node());
  if (failure.has_device()) absl::StrAppend(&text, "/", failure.device());
  if (failure.phase() != v1::RANK_PHASE_UNKNOWN) {
    absl::StrAppend(&text, " in ", Tail(v1::RankPhase_Name(failure.phase()), "RANK_PHASE_"));
  }
  return absl::StrCat(text, ": ", failure.detail());
}

template <typename Message>
std::string Cause(const Message& message) {
  return message.has_failure() ? absl::StrCat(" because ", Describe(message.failure())) : "";
}

std::string Describe(const v1::Placement& placement) {
  std::string text;
  for (const v1::RankPlace& place : placement.ranks()) {
    absl::StrAppend(&text, " ", place.rank(), "=", place.node(), "/", place.device());
  }
  return text;
}

std::string Describe(const v1::LeaseYielding& change) {
  std::string text = absl::StrCat("LeaseYielding l", change.lease_id(), " ",
                                  Tail(v1::YieldCause_Name(change.cause()), "YIELD_CAUSE_"));
  if (change.for_job_id() != 0) absl::StrAppend(&text, " for j", change.for_job_id());
  if (!change.has_grace_ns()) return absl::StrCat(text, " when its run has ended");
  return absl::StrCat(text, " within ", FormatDuration(change.grace_ns()));
}

std::string DescribeJobEvent(const Event& event) {
  if (event.has_job_submitted()) {
    const v1::JobSubmitted& change = event.job_submitted();
    const uint64_t last =
        change.first_run_id() + static_cast<uint64_t>(change.job().spec().runs_size()) - 1;
    return absl::StrCat("JobSubmitted j", change.job_id(), " ", change.job().name(), " r",
                        change.first_run_id(), "..r", last);
  }
  if (event.has_job_cancel_requested()) {
    return absl::StrCat("JobCancelRequested j", event.job_cancel_requested().job_id(), " ",
                        event.job_cancel_requested().reason());
  }
  return absl::StrCat("JobEnded j", event.job_ended().job_id(), " ",
                      Tail(v1::Verdict_Name(event.job_ended().verdict()), "VERDICT_"));
}

std::string DescribeRunEvent(const Event& event) {
  switch (event.change_case()) {
    case Event::kRunPreparing:
      return absl::StrCat("RunPreparing r", event.run_preparing().run_id(), " on l",
                          event.run_preparing().lease_id(), " attempt ",
                          event.run_preparing().attempt());
    case Event::kRunMeasuring:
      return absl::StrCat("RunMeasuring r", event.run_measuring().run_id());
    case Event::kRunDraining: return absl::StrCat("RunDraining r", event.run_draining().run_id());
    case Event::kRunRequeued:
      return absl::StrCat("RunRequeued r", event.run_requeued().run_id(),
                          Cause(event.run_requeued()));
    case Event::kRunJudging:
      return absl::StrCat("RunJudging r", event.run_judging().run_id(), Cause(event.run_judging()));
    default:
      return absl::StrCat("RunJudged r", event.run_judged().run_id(), " ",
                          Tail(v1::Verdict_Name(event.run_judged().verdict()), "VERDICT_"));
  }
}

std::string DescribeNodeEvent(const Event& event) {
  if (event.has_node_cordoned()) {
    const v1::NodeCordoned& change = event.node_cordoned();
    std::string text = absl::StrCat("NodeCordoned n", change.node_id(),
                                    !change.cordoned() ? " no more"
                                    : change.drain()   ? " drain"
                                                       : "");
    if (change.has_grace_ns()) {
      absl::StrAppend(&text, " with ", FormatDuration(change.grace_ns()));
    }
    return absl::StrCat(text, change.reason().empty() ? "" : ": ", change.reason());
  }
  if (event.has_node_forgotten()) {
    return absl::StrCat("NodeForgotten n", event.node_forgotten().node_id());
  }
  const v1::NodeStandingChanged& change = event.node_standing_changed();
  return absl::StrCat("NodeStandingChanged n", change.node_id(), " ",
                      Tail(v1::Standing_Name(change.standing()), "STANDING_"),
                      change.reason().empty() ? "" : ": ", change.reason());
}

std::string DescribeChange(const Event& event) {
  if (IsSuiteEvent(event)) return DescribeSuiteEvent(event);
  switch (event.change_case()) {
    case Event::kNodeCordoned:
    case Event::kNodeForgotten:
    case Event::kNodeStandingChanged: return DescribeNodeEvent(event);
    case Event::kClusterCreated:
      return absl::StrCat("ClusterCreated ", event.cluster_created().cluster_id());
    case Event::kLeadershipTaken:
      return absl::StrCat("LeadershipTaken epoch ", event.leadership_taken().epoch());
    case Event::kNodeJoined:
      return absl::StrCat("NodeJoined n", event.node_joined().node_id(), " ",
                          event.node_joined().info().name(), " as ",
                          event.node_joined().incarnation());
    case Event::kNodeChanged:
      return absl::StrCat("NodeChanged n", event.node_changed().node_id(), " ",
                          Tail(v1::NodePhase_Name(event.node_changed().phase()), "NODE_PHASE_"),
                          event.node_changed().reason().empty() ? "" : ": ",
                          event.node_changed().reason());
    case Event::kLeasePlaced:
      return absl::StrCat("LeasePlaced l", event.lease_placed().lease_id(), " for j",
                          event.lease_placed().job_id(), " generation ",
                          event.lease_placed().generation(), ":",
                          Describe(event.lease_placed().placement()));
    case Event::kLeaseGo: return absl::StrCat("LeaseGo l", event.lease_go().lease_id());
    case Event::kLeaseActive: return absl::StrCat("LeaseActive l", event.lease_active().lease_id());
    case Event::kLeaseYielding: return Describe(event.lease_yielding());
    case Event::kLeaseReleasing:
      return absl::StrCat("LeaseReleasing l", event.lease_releasing().lease_id(),
                          Cause(event.lease_releasing()));
    case Event::kLeaseEnded: return absl::StrCat("LeaseEnded l", event.lease_ended().lease_id());
    case Event::kJobSubmitted:
    case Event::kJobCancelRequested:
    case Event::kJobEnded: return DescribeJobEvent(event);
    default: return DescribeRunEvent(event);
  }
}

}  // namespace

std::string DescribeEvent(const Event& event) {
  return absl::StrCat(event.seq(), " ", DescribeChange(event));
}

std::string DescribeDesired(const v1::DesiredState& desired) {
  std::string text = absl::StrCat("version ", desired.version());
  for (const v1::DesiredLease& lease : desired.leases()) {
    absl::StrAppend(&text, "; l", lease.lease_id(), " ranks");
    for (const v1::DesiredRank& rank : lease.ranks()) absl::StrAppend(&text, " ", rank.rank());
    absl::StrAppend(&text, " of ", lease.world_size());
    if (lease.go()) absl::StrAppend(&text, " go");
    if (lease.cards_size() > 0) absl::StrAppend(&text, " cards ", lease.cards_size());
    for (const v1::AddressCard& card : lease.cards()) {
      if (!card.shm_name().empty()) absl::StrAppend(&text, " with shm");
    }
    if (!lease.has_run()) continue;
    absl::StrAppend(&text, " r", lease.run().run_id(), " attempt ", lease.run().attempt(), " to ",
                    Tail(v1::RunGoal_Name(lease.run().goal()), "RUN_GOAL_"));
  }
  return text;
}

std::string DescribeHard(const HardState& hard) {
  std::string text = absl::StrCat(hard.cluster_id, " seq ", hard.last_seq, " ids ", hard.last_node,
                                  " ", hard.last_job, " ", hard.last_run, " ", hard.last_lease);
  absl::StrAppend(&text, " epoch ", hard.epoch, " ", hard.incarnation);
  for (const auto& [id, job] : hard.submissions) {
    absl::StrAppend(&text, "\nsubmission ", id, " ", job.value);
  }
  for (const std::string& id : hard.ended_submissions) absl::StrAppend(&text, "\nended ", id);
  for (const auto& [name, id] : hard.node_by_name) {
    absl::StrAppend(&text, "\nname ", name, " ", id.value);
  }
  for (const auto& [id, node] : hard.nodes) {
    absl::StrAppend(&text, "\nnode ", id.value, " ", node.incarnation, " ", node.phase, " ",
                    node.reason, " retired ", node.retired.size(), " leases");
    for (LeaseId lease : node.leases) absl::StrAppend(&text, " ", lease.value);
    absl::StrAppend(&text, " cordoned ", node.cordoned, node.drain, " ", node.cordon_reason,
                    " grace ", node.drain_grace.value_or(-1), " standing ", node.standing, " ",
                    node.standing_reason, " tested ", node.tested, " ", node.tested_unix_ns);
    for (const v1::Offence& offence : node.offences) {
      absl::StrAppend(&text, " offence ", offence.ShortDebugString());
    }
    absl::StrAppend(&text, " ", node.info.ShortDebugString());
  }
  for (const auto& [id, job] : hard.jobs) {
    absl::StrAppend(&text, "\njob ", id.value, " ", job.submission_id, " ", job.by.name(), " ",
                    job.submitted_unix_ns, " cancel ", job.cancel_requested, job.cancel_reason,
                    " generations ", job.generations, " setup ", job.setup_failures, " lease ",
                    job.lease.value_or(LeaseId{}).value, " of ", job.leases.size(), " ",
                    job.job.ShortDebugString());
  }
  for (const auto& [id, run] : hard.runs) {
    absl::StrAppend(&text, "\nrun ", id.value, " ", run.phase, " attempt ", run.attempt, " kills ",
                    run.lease_kills, " lease ", run.lease.value, Describe(run.placement),
                    " failure ", run.failure.value_or(v1::Failure{}).ShortDebugString(),
                    " earlier ", run.earlier.size(), " verdict ",
                    run.verdict.value_or(v1::VERDICT_UNKNOWN), " ", run.evidence_sha256);
  }
  for (const auto& [id, lease] : hard.leases) {
    absl::StrAppend(&text, "\nlease ", id.value, " ", lease.phase, " run ",
                    lease.run.value_or(RunId{}).value, Describe(lease.placement), " failure ",
                    lease.failure.value_or(v1::Failure{}).ShortDebugString());
    if (lease.yielding.has_value()) {
      absl::StrAppend(&text, " yields ", lease.yielding->ShortDebugString());
    }
  }
  for (const auto& [owner, usage] : hard.usage) {
    absl::StrAppend(&text, "\nusage ", owner, " ", usage.used, " ", usage.tick);
  }
  return text + DescribeSuites(hard);
}

}  // namespace rackmark
