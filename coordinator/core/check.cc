// CheckEvent: what the log may hold. Every rule that Apply relies upon is here, so that a corrupt
// or foreign log is an error with a place and never a broken State.
#include <set>

#include "coordinator/core/apply_suite.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/tables.h"

namespace rackmark {
namespace {

using v1::Event;

absl::Status Bad(std::string_view what) { return absl::DataLossError(ToAbsl(what)); }

absl::Status CheckNode(const HardState& hard, uint64_t node) {
  if (hard.nodes.count(NodeId{node}) != 0) return absl::OkStatus();
  return Bad(absl::StrCat("no node ", node));
}

absl::Status Check(const HardState& hard, const v1::ClusterCreated& change) {
  if (!hard.cluster_id.empty()) return Bad("the cluster was created before");
  if (change.cluster_id().empty()) return Bad("empty cluster_id");
  return absl::OkStatus();
}

absl::Status Check(const HardState& hard, const v1::LeadershipTaken& change) {
  if (hard.cluster_id.empty()) return Bad("leadership without a cluster");
  if (change.epoch() <= hard.epoch) return Bad("the epoch does not grow");
  return absl::OkStatus();
}

absl::Status Check(const HardState& hard, const v1::NodeJoined& change) {
  if (change.info().name().empty() || change.incarnation().empty()) {
    return Bad("a node without name or incarnation");
  }
  const auto known = hard.node_by_name.find(change.info().name());
  const uint64_t expected =
      known == hard.node_by_name.end() ? hard.last_node + 1 : known->second.value;
  if (change.node_id() != expected) return Bad("wrong node id");
  return absl::OkStatus();
}

absl::Status Check(const HardState& hard, const v1::NodeChanged& change) {
  RETURN_IF_ERROR(CheckNode(hard, change.node_id()));
  const v1::NodePhase from = hard.nodes.at(NodeId{change.node_id()}).phase;
  if (MayGo(from, change.phase())) return absl::OkStatus();
  return Bad(absl::StrCat("node ", change.node_id(), " cannot go from ", v1::NodePhase_Name(from),
                          " to ", v1::NodePhase_Name(change.phase())));
}

absl::Status Check(const HardState& hard, const v1::JobSubmitted& change) {
  if (change.job_id() != hard.last_job + 1) return Bad("wrong job id");
  if (change.first_run_id() != hard.last_run + 1) return Bad("wrong first run id");
  if (change.job().spec().runs_size() == 0) return Bad("a job without runs");
  if (hard.submissions.count(change.submission_id()) != 0) return Bad("submission came twice");
  return absl::OkStatus();
}

absl::Status CheckOpenJob(const HardState& hard, uint64_t job) {
  if (hard.jobs.count(JobId{job}) != 0) return absl::OkStatus();
  return Bad(absl::StrCat("no open job ", job));
}

// A restored history goes on under another identity: the old one may live on elsewhere.
absl::Status Check(const HardState& hard, const v1::ClusterRestored& change) {
  if (change.cluster_id().empty()) return Bad("a cluster without an id");
  if (change.cluster_id() == hard.cluster_id) return Bad("restored under the same cluster id");
  return absl::OkStatus();
}

absl::Status Check(const HardState& hard, const v1::JobCancelRequested& change) {
  return CheckOpenJob(hard, change.job_id());
}

absl::Status Check(const HardState& hard, const v1::JobEnded& change) {
  RETURN_IF_ERROR(CheckOpenJob(hard, change.job_id()));
  const JobState& job = hard.jobs.at(JobId{change.job_id()});
  if (!job.leases.empty()) return Bad("a job ended before its leases");
  for (RunId run : RunsOf(job)) {
    if (hard.runs.at(run).phase != v1::RUN_PHASE_ENDED) return Bad("a job ended before its runs");
  }
  return absl::OkStatus();
}

// The law of the gang: whole, on devices that no other lease may still use.
absl::Status Check(const HardState& hard, const v1::LeasePlaced& change) {
  RETURN_IF_ERROR(CheckOpenJob(hard, change.job_id()));
  if (change.lease_id() != hard.last_lease + 1) return Bad("wrong lease id");
  const JobState& job = hard.jobs.at(JobId{change.job_id()});
  if (job.lease.has_value()) return Bad("the job has a lease");
  if (change.placement().ranks_size() != static_cast<int>(job.job.spec().gang().devices())) {
    return Bad("a gang that is not whole");
  }
  std::set<std::pair<uint64_t, uint32_t>> used;
  uint32_t rank = 0;
  for (const v1::RankPlace& place : change.placement().ranks()) {
    RETURN_IF_ERROR(CheckNode(hard, place.node_id()));
    if (place.rank() != rank++) return Bad("ranks out of order");
    if (!used.emplace(place.node_id(), place.device()).second) return Bad("a device twice");
  }
  std::set<LeaseId> there;  // on the same nodes
  for (const v1::RankPlace& place : change.placement().ranks()) {
    const std::set<LeaseId>& leases = hard.nodes.at(NodeId{place.node_id()}).leases;
    there.insert(leases.begin(), leases.end());
  }
  for (const LeaseId id : there) {
    const LeaseState& lease = hard.leases.at(id);
    if (lease.phase == v1::LEASE_PHASE_RELEASING) continue;  // Freed() has decided, from Reports.
    for (const v1::RankPlace& place : lease.placement.ranks()) {
      if (used.count({place.node_id(), place.device()}) != 0) {
        return Bad(absl::StrCat("a device of lease ", id.value, " is leased twice"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckLease(const HardState& hard, uint64_t id, Change change) {
  const auto lease = hard.leases.find(LeaseId{id});
  if (lease == hard.leases.end()) return Bad(absl::StrCat("no lease ", id));
  if (NextPhase(lease->second.phase, change).has_value()) return absl::OkStatus();
  return Bad(absl::StrCat("lease ", id, " is ", v1::LeasePhase_Name(lease->second.phase)));
}

absl::Status CheckRun(const HardState& hard, uint64_t id, Change change) {
  const auto run = hard.runs.find(RunId{id});
  if (run == hard.runs.end()) return Bad(absl::StrCat("no run ", id));
  if (NextPhase(run->second.phase, change).has_value()) return absl::OkStatus();
  return Bad(absl::StrCat("run ", id, " is ", v1::RunPhase_Name(run->second.phase)));
}

absl::Status CheckPreparing(const HardState& hard, const v1::RunPreparing& change) {
  RETURN_IF_ERROR(CheckRun(hard, change.run_id(), Event::kRunPreparing));
  const RunState& run = hard.runs.at(RunId{change.run_id()});
  const auto lease = hard.leases.find(LeaseId{change.lease_id()});
  if (lease == hard.leases.end() || lease->second.phase != v1::LEASE_PHASE_ACTIVE ||
      lease->second.run.has_value() || lease->second.job != run.job) {
    return Bad(absl::StrCat("lease ", change.lease_id(), " cannot take run ", change.run_id()));
  }
  if (change.attempt() != run.attempt + 1) return Bad("wrong attempt");
  return absl::OkStatus();
}

// The law of the drain: what is left of a run would disturb the next one's measurement.
absl::Status CheckMeasuring(const HardState& hard, const v1::RunMeasuring& change) {
  RETURN_IF_ERROR(CheckRun(hard, change.run_id(), Event::kRunMeasuring));
  const auto lease = hard.leases.find(hard.runs.at(RunId{change.run_id()}).lease);
  if (lease != hard.leases.end() && !lease->second.draining.has_value()) return absl::OkStatus();
  return Bad(absl::StrCat("run ", change.run_id(), " measured while another drains"));
}

absl::Status CheckReleasing(const HardState& hard, const v1::LeaseReleasing& change) {
  RETURN_IF_ERROR(CheckLease(hard, change.lease_id(), Event::kLeaseReleasing));
  if (ToldRun(hard.leases.at(LeaseId{change.lease_id()})).has_value()) {
    return Bad("a lease released under its run");
  }
  return absl::OkStatus();
}

absl::Status Check(const HardState& hard, const v1::NodeStandingChanged& change) {
  RETURN_IF_ERROR(CheckNode(hard, change.node_id()));
  if (change.standing() == v1::STANDING_UNKNOWN || !v1::Standing_IsValid(change.standing())) {
    return Bad("a node without a standing");
  }
  if (!v1::Standing_IsValid(change.was())) return Bad("a node with a standing of no name");
  return absl::OkStatus();
}

// Nothing that is open speaks of it any more.
absl::Status Check(const HardState& hard, const v1::NodeForgotten& change) {
  RETURN_IF_ERROR(CheckNode(hard, change.node_id()));
  const NodeState& node = hard.nodes.at(NodeId{change.node_id()});
  if (node.phase != v1::NODE_PHASE_LOST) return Bad("a node forgotten that is not lost");
  if (!node.leases.empty()) return Bad("a node forgotten under a lease");
  if (OpenRunOn(hard, node.id) != nullptr) return Bad("a node forgotten under an open run");
  return absl::OkStatus();
}

absl::Status Check(const HardState& hard, const v1::LeaseYielding& change) {
  const auto lease = hard.leases.find(LeaseId{change.lease_id()});
  if (lease == hard.leases.end()) return Bad(absl::StrCat("no lease ", change.lease_id()));
  if (lease->second.phase == v1::LEASE_PHASE_RELEASING) return Bad("a released lease yields");
  if (change.cause() == v1::YIELD_CAUSE_UNKNOWN) return Bad("YIELD_CAUSE_UNKNOWN");
  return absl::OkStatus();
}

// Only a drained run is judged without a failure.
absl::Status CheckJudging(const HardState& hard, const v1::RunJudging& change) {
  RETURN_IF_ERROR(CheckRun(hard, change.run_id(), Event::kRunJudging));
  const v1::RunPhase phase = hard.runs.at(RunId{change.run_id()}).phase;
  if (!change.has_failure() && phase != v1::RUN_PHASE_DRAINING) {
    return Bad(absl::StrCat("run ", change.run_id(), " judged without samples or failure"));
  }
  return absl::OkStatus();
}

absl::Status CheckJudged(const HardState& hard, const v1::RunJudged& change) {
  RETURN_IF_ERROR(CheckRun(hard, change.run_id(), Event::kRunJudged));
  if (change.verdict() == v1::VERDICT_UNKNOWN) return Bad("VERDICT_UNKNOWN");
  return absl::OkStatus();
}

absl::Status CheckChange(const HardState& hard, const Event& event) {
  switch (event.change_case()) {
    case Event::kClusterCreated: return Check(hard, event.cluster_created());
    case Event::kLeadershipTaken: return Check(hard, event.leadership_taken());
    case Event::kNodeJoined: return Check(hard, event.node_joined());
    case Event::kNodeChanged: return Check(hard, event.node_changed());
    case Event::kJobSubmitted: return Check(hard, event.job_submitted());
    case Event::kJobCancelRequested: return Check(hard, event.job_cancel_requested());
    case Event::kJobEnded: return Check(hard, event.job_ended());
    case Event::kLeasePlaced: return Check(hard, event.lease_placed());
    case Event::kLeaseGo: return CheckLease(hard, event.lease_go().lease_id(), Event::kLeaseGo);
    case Event::kLeaseActive:
      return CheckLease(hard, event.lease_active().lease_id(), Event::kLeaseActive);
    case Event::kLeaseReleasing: return CheckReleasing(hard, event.lease_releasing());
    case Event::kLeaseEnded:
      return CheckLease(hard, event.lease_ended().lease_id(), Event::kLeaseEnded);
    case Event::kRunPreparing: return CheckPreparing(hard, event.run_preparing());
    case Event::kRunMeasuring: return CheckMeasuring(hard, event.run_measuring());
    case Event::kRunDraining:
      return CheckRun(hard, event.run_draining().run_id(), Event::kRunDraining);
    case Event::kRunRequeued:
      return CheckRun(hard, event.run_requeued().run_id(), Event::kRunRequeued);
    case Event::kRunJudging: return CheckJudging(hard, event.run_judging());
    case Event::kRunJudged: return CheckJudged(hard, event.run_judged());
    case Event::kClusterRestored: return Check(hard, event.cluster_restored());
    case Event::kNodeCordoned: return CheckNode(hard, event.node_cordoned().node_id());
    case Event::kNodeStandingChanged: return Check(hard, event.node_standing_changed());
    case Event::kNodeForgotten: return Check(hard, event.node_forgotten());
    case Event::kLeaseYielding: return Check(hard, event.lease_yielding());
    case Event::kSuiteSubmitted:
    case Event::kSuiteChecked:
    case Event::kSuiteEnded:
    case Event::kScheduleSet:
    case Event::kScheduleRemoved:
    case Event::kScheduleDecided: return CheckSuiteChange(hard, event);
    case Event::CHANGE_NOT_SET: break;
  }
  return Bad("a change that this version does not know");
}

}  // namespace

absl::Status CheckEvent(const HardState& hard, const v1::Event& event) {
  const std::string place = absl::StrCat("event ", event.seq());
  if (event.format() != 1) {
    return Annotate(Bad(absl::StrCat("format ", event.format(), ", this program reads 1")), place);
  }
  if (event.seq() != hard.last_seq + 1) {
    return Annotate(Bad(absl::StrCat("expected seq ", hard.last_seq + 1)), place);
  }
  if (hard.cluster_id.empty() && event.change_case() != Event::kClusterCreated) {
    return Annotate(Bad("the log does not begin with ClusterCreated"), place);
  }
  return Annotate(CheckChange(hard, event), place);
}

}  // namespace rackmark
