// Each struct is taken apart by a structured binding of all its members: one that is added to State
// does not compile here until it is saved and loaded too.
#include "coordinator/core/record.h"

#include <utility>

#include "coordinator/core/record_suite.h"

namespace rackmark {
namespace {

constexpr uint32_t kFormat = 1;

v1::NodeRecord RecordOf(const NodeState& node) {
  const auto& [id, incarnation, retired, info, phase, reason, leases, cordoned, drain,
               cordon_reason, drain_grace, standing, standing_reason, was, offences, tested,
               tested_unix_ns] = node;
  static_cast<void>(leases);  // follows from the leases
  v1::NodeRecord record;
  record.set_node_id(id.value);
  record.set_incarnation(incarnation);
  for (const std::string& former : retired) record.add_retired(former);
  *record.mutable_info() = info;
  record.set_phase(phase);
  record.set_reason(reason);
  record.set_cordoned(cordoned);
  record.set_drain(drain);
  record.set_cordon_reason(cordon_reason);
  if (drain_grace.has_value()) record.set_drain_grace_ns(*drain_grace);
  record.set_standing(standing);
  record.set_standing_reason(standing_reason);
  record.set_was(was);
  for (const v1::Offence& offence : offences) *record.add_offences() = offence;
  record.set_tested(tested);
  record.set_tested_unix_ns(tested_unix_ns);
  return record;
}

v1::JobRecord RecordOf(const JobState& job) {
  const auto& [id, spec, submission_id, by, submitted_unix_ns, first_run, cancel_requested,
               cancel_reason, generations, setup_failures, setup_failure, leases, lease, bytes,
               held, node_seconds, avoid] = job;
  static_cast<void>(leases);  // follows from the leases
  static_cast<void>(bytes);   // follows from the job
  v1::JobRecord record;
  record.set_job_id(id.value);
  *record.mutable_job() = spec;
  record.set_submission_id(submission_id);
  *record.mutable_by() = by;
  record.set_submitted_unix_ns(submitted_unix_ns);
  record.set_first_run_id(first_run.value);
  record.set_runs_total(static_cast<uint32_t>(spec.spec().runs_size()));
  record.set_cancel_requested(cancel_requested);
  record.set_cancel_reason(cancel_reason);
  record.set_generations(generations);
  record.set_setup_failures(setup_failures);
  if (setup_failure.has_value()) *record.mutable_setup_failure() = *setup_failure;
  record.set_lease_id(lease.value_or(LeaseId{}).value);
  record.set_held_ns(held);
  record.set_node_seconds(node_seconds);
  for (NodeId node : avoid) record.add_avoid(node.value);
  return record;
}

v1::RunRecord RecordOf(const RunState& run) {
  const auto& [id, job, phase, attempt, lease_kills, free_tries, lease, placement, failure, earlier,
               clocks, verdict, evidence_sha256, reasons, transports] = run;
  v1::RunRecord record;
  record.set_run_id(id.value);
  record.set_job_id(job.value);
  record.set_phase(phase);
  record.set_attempt(attempt);
  record.set_lease_kills(lease_kills);
  record.set_preempted(free_tries);
  record.set_lease_id(lease.value);
  *record.mutable_placement() = placement;
  if (failure.has_value()) *record.mutable_failure() = *failure;
  for (const v1::Failure& former : earlier) *record.add_earlier_failures() = former;
  for (const auto& [node, clock] : clocks) {
    v1::NodeClock* saved = record.add_clocks();
    saved->set_node_id(node.value);
    *saved->mutable_clock() = clock;
  }
  record.set_verdict(verdict.value_or(v1::VERDICT_UNKNOWN));
  record.set_evidence_sha256(evidence_sha256);
  for (const std::string& reason : reasons) record.add_reasons(reason);
  for (const std::string& sentence : transports) record.add_transports(sentence);
  return record;
}

v1::LeaseRecord RecordOf(const LeaseState& lease) {
  const auto& [id, job, generation, placement, phase, failure, run, draining, transports,
               yielding] = lease;
  static_cast<void>(draining);  // follows from the runs
  v1::LeaseRecord record;
  record.set_lease_id(id.value);
  record.set_job_id(job.value);
  record.set_generation(generation);
  *record.mutable_placement() = placement;
  record.set_phase(phase);
  if (failure.has_value()) *record.mutable_failure() = *failure;
  record.set_run_id(run.value_or(RunId{}).value);
  for (const std::string& sentence : transports) record.add_transports(sentence);
  if (yielding.has_value()) *record.mutable_yielding() = *yielding;
  return record;
}

absl::Status Bad(std::string_view what) { return absl::DataLossError(ToAbsl(what)); }

// The message's id is new, in order, and was counted.
template <typename Map>
absl::Status CheckNext(const Map& map, std::string_view what, uint64_t id, uint64_t last) {
  const uint64_t before = map.empty() ? 0 : map.rbegin()->first.value;
  if (id > before && id <= last) return absl::OkStatus();
  return Bad(absl::StrCat(ToAbsl(what), " ", id, " is out of order"));
}

absl::Status Load(HardState& hard, const v1::NodeRecord& record) {
  RETURN_IF_ERROR(CheckNext(hard.nodes, "node", record.node_id(), hard.last_node));
  if (record.phase() == v1::NODE_PHASE_UNKNOWN) return Bad("a node without a phase");
  NodeState& node = hard.nodes[NodeId{record.node_id()}];
  node.id = NodeId{record.node_id()};
  node.incarnation = record.incarnation();
  node.retired.assign(record.retired().begin(), record.retired().end());
  node.info = record.info();
  node.phase = record.phase();
  node.reason = record.reason();
  node.cordoned = record.cordoned();
  node.drain = record.drain();
  node.cordon_reason = record.cordon_reason();
  if (record.has_drain_grace_ns()) node.drain_grace = record.drain_grace_ns();
  const bool has_standing = record.standing() != v1::STANDING_UNKNOWN;
  node.standing = has_standing ? record.standing() : v1::STANDING_GOOD;
  node.standing_reason = record.standing_reason();
  node.was = record.was();
  node.offences.assign(record.offences().begin(), record.offences().end());
  node.tested = record.tested();
  node.tested_unix_ns = record.tested_unix_ns();
  if (hard.node_by_name.emplace(node.info.name(), node.id).second) return absl::OkStatus();
  return Bad(absl::StrCat("two nodes are called ", node.info.name()));
}

absl::Status Load(HardState& hard, const v1::JobRecord& record) {
  RETURN_IF_ERROR(CheckNext(hard.jobs, "job", record.job_id(), hard.last_job));
  if (static_cast<uint32_t>(record.job().spec().runs_size()) != record.runs_total()) {
    return Bad(absl::StrCat("job ", record.job_id(), " lacks runs"));
  }
  JobState& job = hard.jobs[JobId{record.job_id()}];
  job.id = JobId{record.job_id()};
  job.job = record.job();
  job.bytes = job.job.ByteSizeLong();
  hard.open_bytes += job.bytes;
  job.submission_id = record.submission_id();
  job.by = record.by();
  job.submitted_unix_ns = record.submitted_unix_ns();
  job.first_run = RunId{record.first_run_id()};
  job.cancel_requested = record.cancel_requested();
  job.cancel_reason = record.cancel_reason();
  job.generations = record.generations();
  job.setup_failures = record.setup_failures();
  if (record.has_setup_failure()) job.setup_failure = record.setup_failure();
  if (record.lease_id() != 0) job.lease = LeaseId{record.lease_id()};
  job.held = record.held_ns();
  job.node_seconds = record.node_seconds();
  for (uint64_t node : record.avoid()) job.avoid.insert(NodeId{node});
  if (job.setup_failures > 0 && !job.setup_failure.has_value()) {
    return Bad("a failed set-up without its failure");
  }
  if (hard.submissions.emplace(job.submission_id, job.id).second) return absl::OkStatus();
  return Bad("a submission came twice");
}

absl::Status Load(HardState& hard, const v1::RunRecord& record) {
  RETURN_IF_ERROR(CheckNext(hard.runs, "run", record.run_id(), hard.last_run));
  if (hard.jobs.count(JobId{record.job_id()}) == 0 || record.phase() == v1::RUN_PHASE_UNKNOWN ||
      (record.phase() == v1::RUN_PHASE_ENDED) != (record.verdict() != v1::VERDICT_UNKNOWN)) {
    return Bad(absl::StrCat("run ", record.run_id(), " does not fit its job or phase"));
  }
  RunState& run = hard.runs[RunId{record.run_id()}];
  run.id = RunId{record.run_id()};
  run.job = JobId{record.job_id()};
  run.phase = record.phase();
  run.attempt = record.attempt();
  run.lease_kills = record.lease_kills();
  run.free_tries = record.preempted();
  run.lease = LeaseId{record.lease_id()};
  run.placement = record.placement();
  if (record.has_failure()) run.failure = record.failure();
  run.earlier.assign(record.earlier_failures().begin(), record.earlier_failures().end());
  for (const v1::NodeClock& saved : record.clocks()) {
    run.clocks[NodeId{saved.node_id()}] = saved.clock();
  }
  if (record.verdict() != v1::VERDICT_UNKNOWN) run.verdict = record.verdict();
  run.evidence_sha256 = record.evidence_sha256();
  run.reasons.assign(record.reasons().begin(), record.reasons().end());
  run.transports.assign(record.transports().begin(), record.transports().end());
  for (const v1::RankPlace& place : run.placement.ranks()) {
    if (hard.nodes.count(NodeId{place.node_id()}) == 0) return Bad("a run on no node");
  }
  return absl::OkStatus();
}

// A snapshot of a version whose leases had one run names it here also while it drains.
absl::Status LoadRuns(const HardState& hard, const v1::LeaseRecord& record, LeaseState& lease) {
  for (RunId id : RunsOf(hard.jobs.at(lease.job))) {
    const auto run = hard.runs.find(id);
    if (run == hard.runs.end() || run->second.lease != lease.id) continue;
    if (run->second.phase != v1::RUN_PHASE_DRAINING) continue;
    if (lease.draining.has_value()) {
      return Bad(absl::StrCat("two runs drain on lease ", lease.id.value));
    }
    lease.draining = id;
  }
  const RunId run{record.run_id()};
  if (!run.IsNone() && lease.draining != run) lease.run = run;
  return absl::OkStatus();
}

absl::Status Load(HardState& hard, const v1::LeaseRecord& record) {
  RETURN_IF_ERROR(CheckNext(hard.leases, "lease", record.lease_id(), hard.last_lease));
  const auto job = hard.jobs.find(JobId{record.job_id()});
  if (job == hard.jobs.end() || record.phase() == v1::LEASE_PHASE_UNKNOWN ||
      record.phase() == v1::LEASE_PHASE_ENDED ||
      (record.run_id() != 0 && hard.runs.count(RunId{record.run_id()}) == 0)) {
    return Bad(absl::StrCat("lease ", record.lease_id(), " does not fit its job, run or phase"));
  }
  LeaseState& lease = hard.leases[LeaseId{record.lease_id()}];
  lease.id = LeaseId{record.lease_id()};
  lease.job = JobId{record.job_id()};
  lease.generation = record.generation();
  lease.placement = record.placement();
  lease.phase = record.phase();
  if (record.has_failure()) lease.failure = record.failure();
  RETURN_IF_ERROR(LoadRuns(hard, record, lease));
  lease.transports.assign(record.transports().begin(), record.transports().end());
  if (record.has_yielding()) lease.yielding = record.yielding();
  job->second.leases.insert(lease.id);
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    const auto node = hard.nodes.find(NodeId{place.node_id()});
    if (node == hard.nodes.end()) return Bad("a lease on no node");
    node->second.leases.insert(lease.id);
  }
  return absl::OkStatus();
}

// What single records cannot tell.
absl::Status CheckWhole(const HardState& hard) {
  size_t runs = 0;
  for (const auto& [id, job] : hard.jobs) {
    for (RunId run : RunsOf(job)) {
      const auto found = hard.runs.find(run);
      if (found == hard.runs.end() || found->second.job != id) {
        return Bad(absl::StrCat("job ", id.value, " lacks run ", run.value));
      }
      ++runs;
    }
    if (job.lease.has_value() && job.leases.count(*job.lease) == 0) {
      return Bad(absl::StrCat("job ", id.value, " lacks its lease"));
    }
  }
  if (runs != hard.runs.size()) return Bad("a run that no job has");
  return absl::OkStatus();
}

}  // namespace

v1::Snapshot TakeSnapshot(const HardState& hard) {
  const auto& [cluster_id, epoch, incarnation, last_seq, last_node, last_job, last_run, last_lease,
               nodes, node_by_name, jobs, open_bytes, submissions, ended_submissions, runs, leases,
               last_suite, last_schedule, suites, suite_submissions, schedules, schedule_by_name,
               usage] = hard;
  static_cast<void>(node_by_name);       // follows from the nodes
  static_cast<void>(open_bytes);         // follows from the jobs
  static_cast<void>(suite_submissions);  // follows from the suites
  static_cast<void>(schedule_by_name);   // follows from the schedules
  v1::Snapshot snapshot;
  snapshot.set_format(kFormat);
  snapshot.set_seq(last_seq);
  snapshot.set_cluster_id(cluster_id);
  snapshot.set_epoch(epoch);
  snapshot.set_incarnation(incarnation);
  snapshot.set_last_node(last_node);
  snapshot.set_last_job(last_job);
  snapshot.set_last_run(last_run);
  snapshot.set_last_lease(last_lease);
  for (const auto& [id, node] : nodes) *snapshot.add_nodes() = RecordOf(node);
  for (const auto& [id, job] : jobs) *snapshot.add_jobs() = RecordOf(job);
  for (const auto& [id, run] : runs) *snapshot.add_runs() = RecordOf(run);
  for (const auto& [id, lease] : leases) *snapshot.add_leases() = RecordOf(lease);
  for (const std::string& id : ended_submissions) {
    v1::EndedSubmission* ended = snapshot.add_ended_submissions();
    ended->set_submission_id(id);
    ended->set_job_id(submissions.at(id).value);
  }
  snapshot.set_last_suite(last_suite);
  snapshot.set_last_schedule(last_schedule);
  for (const auto& [id, suite] : suites) *snapshot.add_suites() = RecordOf(suite);
  for (const auto& [id, schedule] : schedules) *snapshot.add_schedules() = RecordOf(schedule);
  for (const auto& [owner, used] : usage) *snapshot.add_usage() = RecordOf(owner, used);
  return snapshot;
}

absl::StatusOr<HardState> FromSnapshot(const v1::Snapshot& snapshot) {
  const std::string place = absl::StrCat("snapshot ", snapshot.seq());
  if (snapshot.format() != kFormat) {
    return Annotate(
        Bad(absl::StrCat("format ", snapshot.format(), ", this program reads ", kFormat)), place);
  }
  if (snapshot.cluster_id().empty()) return Annotate(Bad("it names no cluster"), place);
  HardState hard;
  hard.cluster_id = snapshot.cluster_id();
  hard.epoch = snapshot.epoch();
  hard.incarnation = snapshot.incarnation();
  hard.last_seq = snapshot.seq();
  hard.last_node = snapshot.last_node();
  hard.last_job = snapshot.last_job();
  hard.last_run = snapshot.last_run();
  hard.last_lease = snapshot.last_lease();
  const auto load = [&](const auto& records) -> absl::Status {
    for (const auto& record : records) RETURN_IF_ERROR(Annotate(Load(hard, record), place));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(load(snapshot.nodes()));
  RETURN_IF_ERROR(load(snapshot.jobs()));
  RETURN_IF_ERROR(load(snapshot.runs()));
  RETURN_IF_ERROR(load(snapshot.leases()));
  for (const v1::EndedSubmission& ended : snapshot.ended_submissions()) {
    hard.ended_submissions.push_back(ended.submission_id());
    if (!hard.submissions.emplace(ended.submission_id(), JobId{ended.job_id()}).second) {
      return Annotate(Bad("a submission came twice"), place);
    }
  }
  hard.last_suite = snapshot.last_suite();
  hard.last_schedule = snapshot.last_schedule();
  RETURN_IF_ERROR(Annotate(LoadSuites(snapshot, hard), place));
  RETURN_IF_ERROR(Annotate(CheckWhole(hard), place));
  return hard;
}

v1::EndedJob RecordEnded(const HardState& hard, const v1::Event& job_ended) {
  const JobState& job = hard.jobs.at(JobId{job_ended.job_ended().job_id()});
  v1::EndedJob ended;
  *ended.mutable_job() = RecordOf(job);
  ended.mutable_job()->set_ended_unix_ns(job_ended.unix_ns());
  ended.mutable_job()->set_verdict(job_ended.job_ended().verdict());
  for (RunId id : RunsOf(job)) {
    const RunState& run = hard.runs.at(id);
    v1::RunRecord* record = ended.add_runs();
    *record = RecordOf(run);
    *record->mutable_spec() = SpecOf(hard, run);
  }
  ended.mutable_job()->mutable_job()->mutable_spec()->clear_runs();
  return ended;
}

}  // namespace rackmark
