// Apply: what an event means. No rule lives here, only consequences; rules are in check.cc.
#include "coordinator/core/apply_suite.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/observe.h"
#include "coordinator/core/quarantine.h"
#include "coordinator/core/record.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/tables.h"
#include "coordinator/plan/share.h"

namespace rackmark {
namespace {

using v1::Event;

constexpr size_t kRetiredMax = 16;
// Failures that a run remembers: the first, and the last of the others. Who is preempted again and
// again uses up no tries, and each snapshot holds them all.
constexpr size_t kEarlierMax = 16;

void Enter(RunState& run, Change change) { run.phase = NextPhase(run.phase, change).value(); }
void Enter(LeaseState& lease, Change change) {
  lease.phase = NextPhase(lease.phase, change).value();
}

void On(HardState& hard, const v1::NodeJoined& change) {
  NodeState& node = hard.nodes[NodeId{change.node_id()}];
  if (node.id.IsNone()) {
    node.id = NodeId{change.node_id()};
    hard.last_node = change.node_id();
    hard.node_by_name[change.info().name()] = node.id;
  } else {
    if (node.retired.size() == kRetiredMax) node.retired.erase(node.retired.begin());
    node.retired.push_back(node.incarnation);
    const size_t back = OffencesTakenBack(node, change.info());
    node.offences.resize(node.offences.size() - back);
  }
  node.incarnation = change.incarnation();
  node.info = change.info();
  node.phase = v1::NODE_PHASE_UP;
  node.reason.clear();
}

void On(HardState& hard, const v1::NodeChanged& change) {
  NodeState& node = hard.nodes.at(NodeId{change.node_id()});
  node.phase = change.phase();
  node.reason = change.reason();
}

void On(HardState& hard, const v1::NodeCordoned& change) {
  NodeState& node = hard.nodes.at(NodeId{change.node_id()});
  node.cordoned = change.cordoned();
  node.drain = change.drain();
  node.cordon_reason = change.reason();
  node.drain_grace.reset();
  if (change.has_grace_ns()) node.drain_grace = change.grace_ns();
}

void On(HardState& hard, const v1::NodeStandingChanged& change) {
  NodeState& node = hard.nodes.at(NodeId{change.node_id()});
  node.standing = change.standing();
  node.standing_reason = change.reason();
  node.was = change.was();
  node.tested = 0;
  // On probation the next offence counts by itself; the old ones have been answered for.
  const bool keeps = change.standing() == v1::STANDING_QUARANTINED || change.keeps_offences();
  if (!keeps) node.offences.clear();
}

void On(HardState& hard, const v1::NodeForgotten& change) {
  const auto node = hard.nodes.find(NodeId{change.node_id()});
  for (auto& [id, job] : hard.jobs) job.avoid.erase(node->first);
  hard.node_by_name.erase(node->second.info.name());
  hard.nodes.erase(node);
}

// What broke under the job is remembered: of the node, and for where the job goes next.
void Remember(HardState& hard, const Event& event, JobState& job, const v1::Failure& failure) {
  const auto id = hard.node_by_name.find(failure.node());
  if (id == hard.node_by_name.end()) return;
  if (RetryOf(failure.kind()) == Retry::kElsewhere) job.avoid.insert(id->second);
  if (!IsOffence(failure)) return;
  NodeState& node = hard.nodes.at(id->second);
  if (node.offences.size() == kOffencesKept) node.offences.pop_front();
  v1::Offence& offence = node.offences.emplace_back();
  offence.set_unix_ns(event.unix_ns());
  offence.set_kind(failure.kind());
  if (failure.has_device()) offence.set_device(failure.device());
  offence.set_job_id(job.id.value);
}

void On(HardState& hard, const Event& event, const v1::JobSubmitted& change) {
  JobState& job = hard.jobs[JobId{change.job_id()}];
  job.id = JobId{change.job_id()};
  job.job = change.job();
  job.bytes = job.job.ByteSizeLong();
  hard.open_bytes += job.bytes;
  job.submission_id = change.submission_id();
  job.by = event.by();
  job.submitted_unix_ns = event.unix_ns();
  job.first_run = RunId{change.first_run_id()};
  for (RunId id : RunsOf(job)) {
    RunState& run = hard.runs[id];
    run.id = id;
    run.job = job.id;
    hard.last_run = id.value;
  }
  hard.last_job = job.id.value;
  hard.submissions[job.submission_id] = job.id;
}

void On(HardState& hard, const v1::JobCancelRequested& change) {
  JobState& job = hard.jobs.at(JobId{change.job_id()});
  job.cancel_requested = true;
  job.cancel_reason = change.reason();
}

void On(HardState& hard, const Event& event, const v1::JobEnded& change) {
  const auto job = hard.jobs.find(JobId{change.job_id()});
  NoteJobEnded(hard, event, job->second);
  for (RunId run : RunsOf(job->second)) hard.runs.erase(run);
  hard.ended_submissions.push_back(job->second.submission_id);
  hard.open_bytes -= job->second.bytes;
  hard.jobs.erase(job);
  if (hard.ended_submissions.size() <= kEndedSubmissionsKept) return;
  hard.submissions.erase(hard.ended_submissions.front());
  hard.ended_submissions.pop_front();
}

void On(HardState& hard, const v1::LeasePlaced& change) {
  LeaseState& lease = hard.leases[LeaseId{change.lease_id()}];
  lease.id = LeaseId{change.lease_id()};
  lease.job = JobId{change.job_id()};
  lease.generation = change.generation();
  lease.placement = change.placement();
  hard.last_lease = lease.id.value;
  JobState& job = hard.jobs.at(lease.job);
  job.generations = change.generation();
  job.lease = lease.id;
  job.leases.insert(lease.id);
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    hard.nodes.at(NodeId{place.node_id()}).leases.insert(lease.id);
  }
}

void On(HardState& hard, const v1::LeaseActive& change) {
  LeaseState& lease = hard.leases.at(LeaseId{change.lease_id()});
  Enter(lease, Event::kLeaseActive);
  lease.transports.assign(change.transports().begin(), change.transports().end());
  hard.jobs.at(lease.job).setup_failures = 0;
}

void On(HardState& hard, const Event& event, const v1::LeaseReleasing& change) {
  LeaseState& lease = hard.leases.at(LeaseId{change.lease_id()});
  JobState& job = hard.jobs.at(lease.job);
  if (change.has_failure()) lease.failure = change.failure();
  const bool was_active = lease.phase == v1::LEASE_PHASE_ACTIVE;
  if (!was_active && change.has_failure() && CountsAsFailedSetup(change.failure().kind())) {
    ++job.setup_failures;
    job.setup_failure = change.failure();
  }
  if (change.has_failure()) Remember(hard, event, job, change.failure());
  Enter(lease, Event::kLeaseReleasing);
  job.lease.reset();
}

// What the lease took of its owner's share, of the job's budget.
void Charge(HardState& hard, const Event& event, const LeaseState& lease, Nanos held) {
  JobState& job = hard.jobs.at(lease.job);
  job.held += held;
  const double seconds = static_cast<double>(held) / static_cast<double>(kSecond);
  job.node_seconds += seconds * static_cast<double>(NodesOf(lease.placement).size());
  plan::Ledger ledger(kShareHalfLife);
  OwnerUsage& usage = hard.usage[job.by.name()];
  ledger.Restore(job.by.name(), {usage.used, 0, usage.tick});
  const auto devices = static_cast<uint32_t>(lease.placement.ranks_size());
  ledger.End(job.by.name(), 0, plan::CostOf(devices, held), event.unix_ns());
  const plan::Ledger::Entry& entry = ledger.entries().at(job.by.name());
  usage = {entry.used, entry.tick};
}

void On(HardState& hard, const Event& event, const v1::LeaseEnded& change) {
  const auto found = hard.leases.find(LeaseId{change.lease_id()});
  Charge(hard, event, found->second, change.held_ns());
  for (const v1::RankPlace& place : found->second.placement.ranks()) {
    hard.nodes.at(NodeId{place.node_id()}).leases.erase(found->first);
  }
  hard.jobs.at(found->second.job).leases.erase(found->first);
  hard.leases.erase(found);
}

void On(HardState& hard, const v1::RunPreparing& change) {
  RunState& run = hard.runs.at(RunId{change.run_id()});
  LeaseState& lease = hard.leases.at(LeaseId{change.lease_id()});
  Enter(run, Event::kRunPreparing);
  run.attempt = change.attempt();
  run.lease = lease.id;
  run.placement = lease.placement;
  run.transports = lease.transports;
  lease.run = run.id;
}

void LeaveLease(HardState& hard, const RunState& run) {
  const auto lease = hard.leases.find(run.lease);
  if (lease == hard.leases.end()) return;
  if (lease->second.run == run.id) lease->second.run.reset();
  if (lease->second.draining == run.id) lease->second.draining.reset();
}

// Its ranks are done with it: they may prepare the next one.
void On(HardState& hard, const v1::RunDraining& change) {
  RunState& run = hard.runs.at(RunId{change.run_id()});
  Enter(run, Event::kRunDraining);
  LeaveLease(hard, run);
  hard.leases.at(run.lease).draining = run.id;
}

void On(HardState& hard, const v1::RunRequeued& change) {
  RunState& run = hard.runs.at(RunId{change.run_id()});
  Enter(run, Event::kRunRequeued);
  run.earlier.push_back(change.failure());
  if (run.earlier.size() > kEarlierMax) run.earlier.erase(run.earlier.begin() + 1);
  if (IsOwnDoing(change.failure().kind()) && !change.free()) ++run.lease_kills;
  if (change.failure().kind() == v1::FAILURE_KIND_PREEMPTED || change.free()) ++run.free_tries;
  LeaveLease(hard, run);
}

void On(HardState& hard, const v1::RunJudging& change) {
  RunState& run = hard.runs.at(RunId{change.run_id()});
  Enter(run, Event::kRunJudging);
  if (change.has_failure()) run.failure = change.failure();
  for (const v1::NodeClock& clock : change.clocks()) {
    run.clocks[NodeId{clock.node_id()}] = clock.clock();
  }
  LeaveLease(hard, run);
}

// Only what was measured says anything of the nodes.
void NoteTested(NodeState& node, const Event& event, v1::Verdict verdict) {
  const bool measured =
      verdict == v1::VERDICT_PASS || verdict == v1::VERDICT_FAIL || verdict == v1::VERDICT_INVALID;
  if (!measured) return;
  node.tested_unix_ns = event.unix_ns();
  if (node.standing != v1::STANDING_PROBATION || verdict == v1::VERDICT_PASS) ++node.tested;
}

void On(HardState& hard, const Event& event, const v1::RunJudged& change) {
  RunState& run = hard.runs.at(RunId{change.run_id()});
  Enter(run, Event::kRunJudged);
  run.verdict = change.verdict();
  run.evidence_sha256 = change.evidence_sha256();
  run.reasons.assign(change.reasons().begin(), change.reasons().end());
  for (NodeId node : NodesOf(run.placement)) {
    NoteTested(hard.nodes.at(node), event, change.verdict());
  }
}

void ApplyChange(HardState& hard, const Event& event) {
  switch (event.change_case()) {
    case Event::kClusterCreated: hard.cluster_id = event.cluster_created().cluster_id(); break;
    case Event::kLeadershipTaken:
      hard.epoch = event.leadership_taken().epoch();
      hard.incarnation = event.leadership_taken().incarnation();
      break;
    case Event::kNodeJoined: On(hard, event.node_joined()); break;
    case Event::kNodeChanged: On(hard, event.node_changed()); break;
    case Event::kJobSubmitted: On(hard, event, event.job_submitted()); break;
    case Event::kJobCancelRequested: On(hard, event.job_cancel_requested()); break;
    case Event::kJobEnded: On(hard, event, event.job_ended()); break;
    case Event::kLeasePlaced: On(hard, event.lease_placed()); break;
    case Event::kLeaseGo:
      Enter(hard.leases.at(LeaseId{event.lease_go().lease_id()}), Event::kLeaseGo);
      break;
    case Event::kLeaseActive: On(hard, event.lease_active()); break;
    case Event::kLeaseReleasing: On(hard, event, event.lease_releasing()); break;
    case Event::kLeaseEnded: On(hard, event, event.lease_ended()); break;
    case Event::kRunPreparing: On(hard, event.run_preparing()); break;
    case Event::kRunMeasuring:
      Enter(hard.runs.at(RunId{event.run_measuring().run_id()}), Event::kRunMeasuring);
      break;
    case Event::kRunDraining: On(hard, event.run_draining()); break;
    case Event::kRunRequeued: On(hard, event.run_requeued()); break;
    case Event::kRunJudging: On(hard, event.run_judging()); break;
    case Event::kRunJudged: On(hard, event, event.run_judged()); break;
    case Event::kClusterRestored: hard.cluster_id = event.cluster_restored().cluster_id(); break;
    case Event::kNodeCordoned: On(hard, event.node_cordoned()); break;
    case Event::kNodeStandingChanged: On(hard, event.node_standing_changed()); break;
    case Event::kNodeForgotten: On(hard, event.node_forgotten()); break;
    case Event::kLeaseYielding:
      hard.leases.at(LeaseId{event.lease_yielding().lease_id()}).yielding = event.lease_yielding();
      break;
    case Event::kSuiteSubmitted:
    case Event::kSuiteChecked:
    case Event::kSuiteEnded:
    case Event::kScheduleSet:
    case Event::kScheduleRemoved:
    case Event::kScheduleDecided: ApplySuiteChange(hard, event); break;
    case Event::CHANGE_NOT_SET: break;
  }
}

}  // namespace

void Apply(HardState& hard, const v1::Event& event) {
  RACKMARK_CHECK(CheckEvent(hard, event).ok());
  ApplyChange(hard, event);
  hard.last_seq = event.seq();
}

absl::Status Replay(State& state, const v1::Event& event, std::vector<v1::EndedJob>* ended) {
  RETURN_IF_ERROR(CheckEvent(state.hard, event));
  if (ended != nullptr && event.has_job_ended()) {
    ended->push_back(RecordEnded(state.hard, event));
  }
  ApplyChange(state.hard, event);
  state.hard.last_seq = event.seq();
  return absl::OkStatus();
}

}  // namespace rackmark
