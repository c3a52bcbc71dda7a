#include "coordinator/core/timers.h"

#include <algorithm>

#include "coordinator/core/hold.h"
#include "coordinator/core/schedules.h"
#include "coordinator/core/suite.h"

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

std::optional<Nanos> NodeDeadline(const State& state, const NodeState& node) {
  const Nanos heard = HeardAt(state, node.id);
  if (node.phase == v1::NODE_PHASE_UP) return heard + state.config.suspect_after;
  if (node.phase == v1::NODE_PHASE_SUSPECT) return heard + state.config.lost_after;
  if (node.leases.empty()) return std::nullopt;
  return heard + state.config.release_after;
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

Nanos NextDeadline(const State& state) {
  Nanos next = state.soft.now + state.config.tick_max;
  const auto sooner = [&](std::optional<Nanos> deadline) {
    if (deadline.has_value() && *deadline > state.soft.now) next = std::min(next, *deadline);
  };
  for (const auto& [id, node] : state.hard.nodes) sooner(NodeDeadline(state, node));
  for (const auto& [id, lease] : state.hard.leases) {
    sooner(LeaseClock(state, lease).deadline);
    sooner(BlameDeadline(state, lease));
    sooner(HeldUntil(state, lease));
    for (const std::optional<RunId>& run_id : {lease.draining, lease.run}) {
      if (!run_id.has_value()) continue;
      const RunState& run = state.hard.runs.at(*run_id);
      sooner(RunClock(state, run).deadline);
      sooner(StallDeadline(state, run));
      sooner(HeldUntil(state, run));
    }
  }
  for (const auto& [id, since] : state.soft.suite_since) {
    const auto suite = state.hard.suites.find(id);
    if (suite != state.hard.suites.end()) sooner(CheckDeadline(state, suite->second));
  }
  for (const auto& [id, soft] : state.soft.schedules) sooner(ScheduleDeadline(state, id));
  for (RunId id : state.soft.held_runs) {
    const auto run = state.hard.runs.find(id);
    if (run != state.hard.runs.end()) sooner(HeldUntil(state, run->second));
  }
  return next;
}

}  // namespace rackmark
