#include "coordinator/core/view.h"

#include <algorithm>

#include "coordinator/core/hold.h"
#include "coordinator/core/observe.h"
#include "coordinator/core/quarantine.h"
#include "coordinator/core/queue.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/timers.h"

namespace rackmark {
namespace {

int Severity(v1::Verdict verdict) {
  switch (verdict) {
    case v1::VERDICT_PASS: return 0;
    case v1::VERDICT_SKIPPED: return 1;
    case v1::VERDICT_INVALID: return 2;
    case v1::VERDICT_FAIL: return 3;
    case v1::VERDICT_TIMEOUT: return 4;
    case v1::VERDICT_ERROR: return 5;
    case v1::VERDICT_CANCELLED: return 6;
    default: return 5;
  }
}

void AddDevices(const State& state, const NodeState& node, v1::NodeStatus& status) {
  std::map<uint32_t, std::string> reasons;
  if (const v1::Report* report = ReportOf(state, node.id)) {
    for (const v1::DeviceReport& said : report->devices()) {
      reasons[said.index()] = said.unhealthy_reason();
    }
  }
  for (const plan::DeviceFacts& facts : PlanNode(state, node).devices) {
    v1::DeviceStatus* device = status.add_devices();
    device->set_index(facts.index);
    device->set_lease_id(facts.holder.value);
    device->set_healthy(facts.healthy);
    const std::string& said = reasons[facts.index];
    device->set_reason(said.empty() ? WhyUnused(node, facts.index) : said);
  }
}

// Where the job comes from, if no person submitted it by itself.
void AddOrigin(const v1::Job& job, v1::JobStatus& status) {
  status.set_suite_id(job.part().suite_id());
  status.set_part(job.part().name());
  status.set_schedule_id(job.scheduled().schedule_id());
}

// Rank 0's note and the least advanced rank, while ranks are at work on the run.
void AddProgress(const State& state, const RunState& run, v1::RunStatus& status) {
  const auto lease = state.hard.leases.find(run.lease);
  if (lease == state.hard.leases.end() || ToldRun(lease->second) != run.id) return;
  for (const v1::RankPlace& place : lease->second.placement.ranks()) {
    const v1::RankReport* rank = RankOf(state, lease->second, place);
    if (rank == nullptr) continue;
    if (place.rank() == 0) status.set_note(rank->note());
    if (status.rank_phase() == v1::RANK_PHASE_UNKNOWN || rank->phase() < status.rank_phase()) {
      status.set_rank_phase(rank->phase());
    }
  }
}

}  // namespace

v1::NodeStatus ViewNode(const State& state, NodeId id, Nanos now) {
  const NodeState& node = state.hard.nodes.at(id);
  v1::NodeStatus status;
  status.set_node_id(id.value);
  *status.mutable_info() = node.info;
  status.set_phase(node.phase);
  status.set_reason(node.reason);
  status.set_cordoned(node.cordoned);
  status.set_drain(node.drain);
  status.set_standing(node.standing);
  const std::string breaker = BreakerNote(state, node);
  status.set_standing_reason(breaker.empty() ? node.standing_reason : breaker);
  status.set_offences(static_cast<uint32_t>(node.offences.size()));
  if (node.reason.empty() && node.cordoned && !node.cordon_reason.empty()) {
    status.set_reason(
        absl::StrCat(node.drain ? "cordoned, to be drained: " : "cordoned: ", node.cordon_reason));
  }
  AddDevices(state, node, status);
  if (const v1::Report* report = ReportOf(state, id);
      report != nullptr && status.reason().empty()) {
    for (const v1::StreamReport& stream : report->streams()) {
      if (stream.refused().empty()) continue;
      status.set_reason(absl::StrCat("samples of run ",
                                     DisplayRun(state.hard.cluster_id, RunId{stream.run_id()}),
                                     " were refused: ", stream.refused()));
      break;
    }
  }
  const auto soft = state.soft.nodes.find(id);
  if (soft != state.soft.nodes.end() && soft->second.reported) {
    status.set_silent_ns(std::max<Nanos>(0, now - soft->second.last_report));
    if (soft->second.clock.has_value()) *status.mutable_clock() = *soft->second.clock;
  }
  return status;
}

absl::Status NoSuchJob(std::string_view cluster_id, JobId job) {
  return absl::NotFoundError(absl::StrCat("there is no job ", DisplayJob(cluster_id, job),
                                          "; rackmark jobs lists those there are"));
}

absl::Status NoLongerKept(std::string_view cluster_id, JobId job) {
  return absl::NotFoundError(absl::StrCat("job ", DisplayJob(cluster_id, job),
                                          " has ended, and is no longer kept; rackmark jobs lists "
                                          "those that are"));
}

v1::JobPhase PhaseOf(const HardState& hard, const JobState& job) {
  if (!job.leases.empty()) return v1::JOB_PHASE_ACTIVE;
  for (RunId run : RunsOf(job)) {
    if (hard.runs.at(run).phase == v1::RUN_PHASE_QUEUED) return v1::JOB_PHASE_QUEUED;
  }
  return v1::JOB_PHASE_ACTIVE;
}

v1::JobStatus ViewJob(const State& state, JobId id) {
  const JobState& job = state.hard.jobs.at(id);
  v1::JobStatus status;
  status.set_job_id(id.value);
  status.set_name(job.job.name());
  status.set_phase(PhaseOf(state.hard, job));
  status.set_runs_total(static_cast<uint32_t>(job.job.spec().runs_size()));
  for (RunId run : RunsOf(job)) {
    const bool ended = state.hard.runs.at(run).phase == v1::RUN_PHASE_ENDED;
    status.set_runs_ended(status.runs_ended() + (ended ? 1 : 0));
  }
  status.set_submitted_unix_ns(job.submitted_unix_ns);
  status.set_priority(job.job.spec().priority());
  AddOrigin(job.job, status);
  *status.mutable_by() = job.by;
  for (std::string& reason : WaitingReasons(state, id)) {
    status.add_waiting_reasons(std::move(reason));
  }
  return status;
}

v1::JobStatus ViewEnded(const v1::JobRecord& job) {
  v1::JobStatus status;
  status.set_job_id(job.job_id());
  status.set_name(job.job().name());
  status.set_phase(v1::JOB_PHASE_ENDED);
  status.set_verdict(job.verdict());
  status.set_runs_total(job.runs_total());
  status.set_runs_ended(job.runs_total());
  status.set_submitted_unix_ns(job.submitted_unix_ns());
  status.set_priority(job.job().spec().priority());
  AddOrigin(job.job(), status);
  status.set_ended_unix_ns(job.ended_unix_ns());
  *status.mutable_by() = job.by();
  return status;
}

v1::RunStatus ViewEnded(const v1::RunRecord& run) {
  v1::RunStatus status;
  status.set_run_id(run.run_id());
  status.set_job_id(run.job_id());
  status.set_phase(run.phase());
  status.set_attempt(run.attempt());
  status.set_verdict(run.verdict());
  *status.mutable_placement() = run.placement();
  if (run.has_failure()) {
    *status.mutable_failure() = run.failure();
  } else if (run.earlier_failures_size() > 0) {
    *status.mutable_failure() = *run.earlier_failures().rbegin();
  }
  if (status.has_failure()) status.set_failure_class(ClassOf(status.failure().kind()));
  *status.mutable_point() = run.spec().point();
  status.set_repetition(run.spec().repetition());
  *status.mutable_reasons() = run.reasons();
  return status;
}

v1::RunStatus ViewRun(const State& state, RunId id, Nanos now) {
  const RunState& run = state.hard.runs.at(id);
  const v1::RunSpec& spec = SpecOf(state.hard, run);
  v1::RunStatus status;
  status.set_run_id(id.value);
  status.set_job_id(run.job.value);
  status.set_phase(run.phase);
  status.set_attempt(run.attempt);
  if (run.verdict.has_value()) status.set_verdict(*run.verdict);
  *status.mutable_placement() = run.placement;
  if (run.failure.has_value()) {
    *status.mutable_failure() = *run.failure;
  } else if (!run.earlier.empty()) {
    *status.mutable_failure() = run.earlier.back();
  }
  if (status.has_failure()) status.set_failure_class(ClassOf(status.failure().kind()));
  *status.mutable_point() = spec.point();
  status.set_repetition(spec.repetition());
  for (const std::string& reason : run.reasons) status.add_reasons(reason);
  const PhaseClock clock = RunClock(state, run);
  if (clock.deadline.has_value()) {
    status.set_phase_elapsed_ns(std::max<Nanos>(0, now - clock.since));
    AddProgress(state, run, status);
  }
  if (std::string note = HoldNote(state, run); !note.empty()) status.set_note(std::move(note));
  return status;
}

std::vector<v1::NodeFacts> FactsOf(const State& state, const RunState& run) {
  std::vector<v1::NodeFacts> facts;
  for (NodeId id : NodesOf(run.placement)) {
    const NodeState& node = state.hard.nodes.at(id);
    v1::NodeFacts& fact = facts.emplace_back();
    fact.set_node_id(id.value);
    fact.set_name(node.info.name());
    *fact.mutable_environment() = node.info.environment();
    const auto clock = run.clocks.find(id);
    if (clock != run.clocks.end()) *fact.mutable_clock() = clock->second;
  }
  return facts;
}

v1::Verdict WorstOf(v1::Verdict a, v1::Verdict b) { return Severity(a) >= Severity(b) ? a : b; }

}  // namespace rackmark
