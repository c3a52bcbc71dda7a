// Settle: what follows from State alone. Each open job takes at most one step per wave, and each
// step is a group of events that stands by itself, so that Turn may apply a wave and ask again.
#include <algorithm>

#include "coordinator/core/blame.h"
#include "coordinator/core/budget.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/emit.h"
#include "coordinator/core/hold.h"
#include "coordinator/core/observe.h"
#include "coordinator/core/quarantine.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/schedules.h"
#include "coordinator/core/suite.h"
#include "coordinator/core/timers.h"
#include "coordinator/core/view.h"
#include "coordinator/core/yield.h"

namespace rackmark {
namespace {

using Events = std::vector<v1::Event>;

v1::Failure CancelFailure(const JobState& job) {
  v1::Failure failure;
  failure.set_kind(v1::FAILURE_KIND_CANCELLED);
  failure.set_detail(job.cancel_reason.empty() ? "cancelled" : job.cancel_reason);
  return failure;
}

// Runs that will not start: the job is cancelled, has used up its budget, or cannot be set up.
bool JudgeQueued(const State& state, const JobState& job, const v1::Failure& failure,
                 Events& events) {
  const size_t before = events.size();
  for (RunId id : RunsOf(job)) {
    const RunState& run = state.hard.runs.at(id);
    if (run.phase == v1::RUN_PHASE_QUEUED) EmitJudging(state, run, failure, events);
  }
  return events.size() > before;
}

bool EndReleased(const State& state, const JobState& job, Nanos now, Events& events) {
  const size_t before = events.size();
  for (LeaseId id : job.leases) {
    const LeaseState& lease = state.hard.leases.at(id);
    if (lease.phase != v1::LEASE_PHASE_RELEASING) continue;
    const std::set<NodeId> nodes = NodesOf(lease.placement);
    const bool freed = std::all_of(nodes.begin(), nodes.end(), [&](NodeId node) {
      return HasFreed(state, lease, node, now) || HasLostDevices(state, lease, node, now);
    });
    if (!freed) continue;
    v1::LeaseEnded* change = events.emplace_back().mutable_lease_ended();
    change->set_lease_id(id.value);
    change->set_held_ns(now - LeaseClock(state, lease).since);
  }
  return events.size() > before;
}

std::optional<v1::Failure> SamplesLost(const Drained& drained) {
  v1::Failure failure;
  failure.set_kind(v1::FAILURE_KIND_SAMPLES_LOST);
  if (drained.refused.has_value()) {
    failure.set_node(drained.refused->node);
    failure.set_detail(absl::StrCat("samples were refused: ", drained.refused->why));
    return failure;
  }
  if (drained.dropped_results == 0) return std::nullopt;
  failure.set_node(drained.dropped_node);
  failure.set_detail(absl::StrCat(drained.dropped_results, " results overflowed a bound on ",
                                  drained.dropped_node,
                                  ", or found no room on its disk; its worker's log says which"));
  return failure;
}

// Told to prepare while another drains, it is told to measure only when that one is out of the way.
void AdvanceRun(const State& state, const LeaseState& lease, Events& events) {
  const RunState& run = state.hard.runs.at(*lease.run);
  const auto all = [&](v1::RankPhase phase) {
    return Laggards(lease, [&](const auto& place) { return HasReached(state, run, place, phase); })
        .empty();
  };
  if (run.phase == v1::RUN_PHASE_PREPARING) {
    if (lease.draining.has_value() || !all(v1::RANK_PHASE_PREPARED)) return;
    events.emplace_back().mutable_run_measuring()->set_run_id(run.id.value);
  } else if (run.phase == v1::RUN_PHASE_MEASURING && all(v1::RANK_PHASE_DONE)) {
    events.emplace_back().mutable_run_draining()->set_run_id(run.id.value);
  }
}

void AdvanceDrain(const State& state, const LeaseState& lease, Nanos now, Events& events) {
  const RunState& run = state.hard.runs.at(*lease.draining);
  const Drained drained = DrainOf(state, lease, run);
  if (drained.all && HeldUntil(state, run)) return;
  if (drained.all) {
    EmitJudging(state, run, SamplesLost(drained), events);
  } else if (auto late = FindDrainTimeout(state, lease, now)) {
    // A disk without room for a stream's last words: what was lost is the cause, not the time.
    const auto lost = SamplesLost(drained);
    EmitJudging(state, run, lost.has_value() ? *lost : *late, events);
  }
}

void StartNext(const State& state, const JobState& job, const LeaseState& lease, Events& events) {
  for (RunId id : RunsOf(job)) {
    const RunState& run = state.hard.runs.at(id);
    if (run.phase != v1::RUN_PHASE_QUEUED) continue;
    v1::RunPreparing* change = events.emplace_back().mutable_run_preparing();
    change->set_run_id(id.value);
    change->set_lease_id(lease.id.value);
    change->set_attempt(run.attempt + 1);
    return;
  }
}

bool HasQueued(const State& state, const JobState& job) {
  for (RunId run : RunsOf(job)) {
    if (state.hard.runs.at(run).phase == v1::RUN_PHASE_QUEUED) return true;
  }
  return false;
}

void AdvanceLease(const State& state, const JobState& job, const LeaseState& lease, Nanos now,
                  Events& events) {
  if (job.cancel_requested) return FailLease(state, lease, CancelFailure(job), events);
  const bool idle = lease.phase == v1::LEASE_PHASE_ACTIVE && !ToldRun(lease).has_value();
  if (idle && !HasQueued(state, job)) {
    // All runs are done: whatever the ranks do now, they are not needed any more.
    events.emplace_back().mutable_lease_releasing()->set_lease_id(lease.id.value);
    return;
  }
  if (auto fault = FindFault(state, lease, now)) return FailLease(state, lease, *fault, events);
  if (auto over = OverBudget(state, job, now)) return FailLease(state, lease, *over, events);
  if (EmitDrain(state, lease, events) || StepYielding(state, lease, now, events)) return;
  if (lease.phase == v1::LEASE_PHASE_STARTING) {
    if (!Laggards(lease, [&](const auto& p) { return HasCard(state, lease, p); }).empty()) return;
    v1::LeaseGo* change = events.emplace_back().mutable_lease_go();
    change->set_lease_id(lease.id.value);
    change->set_generation(lease.generation);
  } else if (lease.phase == v1::LEASE_PHASE_RENDEZVOUS) {
    if (!Laggards(lease, [&](const auto& p) { return IsReady(state, lease, p); }).empty()) return;
    v1::LeaseActive* change = events.emplace_back().mutable_lease_active();
    change->set_lease_id(lease.id.value);
    for (const std::string& sentence : TransportsOf(state, lease)) change->add_transports(sentence);
  } else {
    if (lease.draining.has_value()) AdvanceDrain(state, lease, now, events);
    if (!events.empty()) return;
    if (lease.run.has_value()) return AdvanceRun(state, lease, events);
    if (!lease.yielding.has_value()) StartNext(state, job, lease, events);
  }
}

void EndJob(const State& state, const JobState& job, Events& events) {
  if (!job.leases.empty()) return;
  v1::Verdict verdict = v1::VERDICT_PASS;
  for (RunId id : RunsOf(job)) {
    const RunState& run = state.hard.runs.at(id);
    if (run.phase != v1::RUN_PHASE_ENDED) return;
    verdict = WorstOf(verdict, *run.verdict);
  }
  v1::JobEnded* change = events.emplace_back().mutable_job_ended();
  change->set_job_id(job.id.value);
  change->set_verdict(verdict);
}

void StepJob(const State& state, const JobState& job, Nanos now, Events& events) {
  Events step;
  if (!EndReleased(state, job, now, step)) {
    if (job.lease.has_value()) {
      AdvanceLease(state, job, state.hard.leases.at(*job.lease), now, step);
    } else if (job.cancel_requested && JudgeQueued(state, job, CancelFailure(job), step)) {
    } else if (SetupExhausted(state, job) && JudgeQueued(state, job, *job.setup_failure, step)) {
    } else if (const auto over = OverBudget(state, job, now);
               over.has_value() && JudgeQueued(state, job, *over, step)) {
    } else if (const auto skipped = AdmissionOf(state, job).skipped;
               skipped.has_value() && JudgeQueued(state, job, *skipped, step)) {
    } else {
      EndJob(state, job, step);
    }
  }
  for (v1::Event& event : step) events.push_back(std::move(event));
}

}  // namespace

std::vector<v1::Event> Settle(const State& state, const std::set<JobId>* jobs, Now now) {
  Events events;
  // First of all, so that nothing more is placed on a node that is on its way into quarantine.
  if (EmitStanding(state, events)) {
    Stamp(state.hard, CorePrincipal(), now, events);
    return events;
  }
  if (jobs == nullptr) {
    for (const auto& [id, job] : state.hard.jobs) StepJob(state, job, now.monotonic, events);
  } else {
    for (JobId id : *jobs) {
      const auto job = state.hard.jobs.find(id);
      if (job != state.hard.jobs.end()) StepJob(state, job->second, now.monotonic, events);
    }
  }
  if (events.empty() && (jobs == nullptr || state.soft.suites_wanted)) {
    StepSuites(state, now.monotonic, events);
  }
  if (events.empty()) StepSchedules(state, now, events);
  Stamp(state.hard, CorePrincipal(), now, events);
  return events;
}

}  // namespace rackmark
