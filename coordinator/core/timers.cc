#include "coordinator/core/timers.h"

#include <algorithm>

#include "coordinator/core/budget.h"
#include "coordinator/core/hold.h"
#include "coordinator/core/queue.h"
#include "coordinator/core/schedules.h"
#include "coordinator/core/suite.h"
#include "coordinator/core/yield.h"

namespace rackmark {
namespace {

Nanos HeardAt(const State& state, NodeId node) {
  const auto soft = state.soft.nodes.find(node);
  const bool heard = soft != state.soft.nodes.end() && soft->second.reported;
  return heard ? std::max(soft->second.last_report, state.soft.listening_since)
               : state.soft.listening_since;
}

template <typename Key>
Nanos SinceOf(const State& state, const std::map<Key, Nanos>& since, Key key) {
  const auto found = since.find(key);
  return found == since.end() ? state.soft.listening_since : found->second;
}

}  // namespace

Nanos SilenceOf(const State& state, NodeId node, Nanos now) {
  return std::max<Nanos>(0, now - HeardAt(state, node));
}

PhaseClock LeaseClock(const State& state, const LeaseState& lease) {
  PhaseClock clock{SinceOf(state, state.soft.lease_since, lease.id), std::nullopt};
  const v1::Limits& limits = state.hard.jobs.at(lease.job).job.spec().limits();
  if (lease.phase == v1::LEASE_PHASE_STARTING || lease.phase == v1::LEASE_PHASE_RENDEZVOUS) {
    clock.deadline = clock.since + limits.setup_ns();
  }
  return clock;
}

Nanos ReleaseEnd(const State& state, const LeaseState& lease) {
  return SinceOf(state, state.soft.release_since, lease.id) + state.config.release_after;
}

std::optional<Nanos> BlameDeadline(const State& state, const LeaseState& lease) {
  const auto since = state.soft.bystander_since.find(lease.id);
  if (since == state.soft.bystander_since.end()) return std::nullopt;
  return since->second + state.config.blame_wait;
}

PhaseClock RunClock(const State& state, const RunState& run) {
  PhaseClock clock{SinceOf(state, state.soft.run_since, run.id), std::nullopt};
  const v1::Limits& limits = state.hard.jobs.at(run.job).job.spec().limits();
  switch (run.phase) {
    case v1::RUN_PHASE_PREPARING: clock.deadline = clock.since + limits.prepare_ns(); break;
    case v1::RUN_PHASE_MEASURING: clock.deadline = clock.since + limits.measure_ns(); break;
    case v1::RUN_PHASE_DRAINING: clock.deadline = clock.since + limits.drain_ns(); break;
    default: break;
  }
  return clock;
}

std::optional<Nanos> StallDeadline(const State& state, const RunState& run) {
  const v1::Limits& limits = state.hard.jobs.at(run.job).job.spec().limits();
  if (run.phase != v1::RUN_PHASE_MEASURING || !limits.has_stall_ns()) return std::nullopt;
  return SinceOf(state, state.soft.progress_since, run.id) + limits.stall_ns();
}

std::optional<Nanos> NodeDeadline(const State& state, const NodeState& node) {
  const Nanos heard = HeardAt(state, node.id);
  if (node.phase == v1::NODE_PHASE_UP) return heard + state.config.suspect_after;
  if (node.phase == v1::NODE_PHASE_SUSPECT) return heard + state.config.lost_after;
  if (node.leases.empty()) return std::nullopt;
  return heard + state.config.release_after;
}

std::optional<Nanos> JobDeadline(const State& state, const JobState& job) {
  std::optional<Nanos> next;
  const auto sooner = [&](std::optional<Nanos> at) {
    if (at.has_value() && *at > state.soft.now) next = std::min(next.value_or(*at), *at);
  };
  sooner(BudgetEnd(state, job));
  for (const LeaseId lease_id : job.leases) {
    const LeaseState& lease = state.hard.leases.at(lease_id);
    sooner(LeaseClock(state, lease).deadline);
    sooner(BlameDeadline(state, lease));
    sooner(HeldUntil(state, lease));
    sooner(GraceEnd(state, lease));
    sooner(LeaseMaxEnd(state, lease));
    if (lease.phase == v1::LEASE_PHASE_RELEASING) sooner(ReleaseEnd(state, lease));
    for (const std::optional<RunId>& run_id : {lease.draining, lease.run}) {
      if (!run_id.has_value()) continue;
      const RunState& run = state.hard.runs.at(*run_id);
      sooner(RunClock(state, run).deadline);
      sooner(StallDeadline(state, run));
      sooner(HeldUntil(state, run));
    }
  }
  return next;
}

void IndexNode(State& state, NodeId id) {
  state.soft.due_nodes.Set(id, NodeDeadline(state, state.hard.nodes.at(id)));
}

void IndexJob(State& state, JobId id) {
  const auto job = state.hard.jobs.find(id);
  const bool open = job != state.hard.jobs.end();
  state.soft.due_jobs.Set(id, open ? JobDeadline(state, job->second) : std::nullopt);
}

void IndexAll(State& state) {
  for (const auto& [id, node] : state.hard.nodes) IndexNode(state, id);
  for (const auto& [id, job] : state.hard.jobs) IndexJob(state, id);
}

Nanos NextDeadline(const State& state) {
  Nanos next = state.soft.now + state.config.tick_max;
  const auto sooner = [&](std::optional<Nanos> deadline) {
    if (deadline.has_value() && *deadline > state.soft.now) next = std::min(next, *deadline);
  };
  sooner(state.soft.due_nodes.NextAfter(state.soft.now));
  sooner(state.soft.due_jobs.NextAfter(state.soft.now));
  if (state.soft.place_wanted) sooner(state.soft.planner.looks_since + kVainLooksWithin);
  for (const auto& [id, since] : state.soft.suite_since) {
    const auto suite = state.hard.suites.find(id);
    if (suite != state.hard.suites.end()) sooner(CheckDeadline(state, suite->second));
  }
  for (const auto& [id, span] : state.soft.planner.spans) {
    sooner(state.soft.now + (span.until - state.soft.wall));
  }
  for (const auto& [id, soft] : state.soft.schedules) sooner(ScheduleDeadline(state, id));
  for (RunId id : state.soft.held_runs) {
    const auto run = state.hard.runs.find(id);
    if (run != state.hard.runs.end()) sooner(HeldUntil(state, run->second));
  }
  return next;
}

}  // namespace rackmark
