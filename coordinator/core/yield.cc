#include "coordinator/core/yield.h"

#include "coordinator/core/observe.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/timers.h"

namespace rackmark {
namespace {

const v1::JobSpec& SpecOf(const State& state, const LeaseState& lease) {
  return state.hard.jobs.at(lease.job).job.spec();
}

std::string CauseWord(v1::YieldCause cause) {
  const std::string name = v1::YieldCause_Name(cause);
  return name.substr(std::string_view("YIELD_CAUSE_").size());
}

std::string ForWhom(const State& state, const v1::LeaseYielding& yielding) {
  if (yielding.cause() == v1::YIELD_CAUSE_DRAIN) return "a node that is being drained";
  return absl::StrCat("job ", DisplayJob(state.hard.cluster_id, JobId{yielding.for_job_id()}));
}

v1::Failure Preempted(const State& state, const v1::LeaseYielding& yielding) {
  v1::Failure failure;
  failure.set_kind(v1::FAILURE_KIND_PREEMPTED);
  failure.set_detail(absl::StrCat("made room for ", ForWhom(state, yielding)));
  return failure;
}

// It was asked for the sake of a job that waited; that one may be placed elsewhere by now, or over.
bool IsWanted(const State& state, const LeaseState& lease) {
  if (lease.yielding->cause() != v1::YIELD_CAUSE_PREEMPTED) return true;
  const auto& waiting = state.soft.planner.queue.by_priority();
  return !waiting.empty() && waiting.begin()->first > SpecOf(state, lease).priority();
}

bool MustGo(const State& state, const LeaseState& lease, Nanos now) {
  const auto end = GraceEnd(state, lease);
  return end.has_value() && now >= *end && ToldRun(lease).has_value() && IsWanted(state, lease);
}

}  // namespace

void EmitVictims(const State& state, const plan::Pass& pass, std::vector<v1::Event>& events) {
  for (const LeaseId id : pass.victims) {
    const LeaseState& lease = state.hard.leases.at(id);
    v1::LeaseYielding* change = events.emplace_back().mutable_lease_yielding();
    change->set_lease_id(id.value);
    change->set_for_job_id(pass.head->ticket.value);
    const v1::JobSpec& spec = SpecOf(state, lease);
    change->set_cause(spec.preemptible() ? v1::YIELD_CAUSE_PREEMPTED : v1::YIELD_CAUSE_LEASE_MAX);
    if (spec.preemptible()) change->set_grace_ns(spec.grace_ns());
  }
}

bool EmitDrain(const State& state, const LeaseState& lease, std::vector<v1::Event>& events) {
  const auto end = GraceEnd(state, lease);
  for (const NodeId id : NodesOf(lease.placement)) {
    const NodeState& node = state.hard.nodes.at(id);
    if (!node.drain) continue;
    const Nanos wanted = node.drain_grace.value_or(SpecOf(state, lease).grace_ns());
    // A grace that is over and was not acted upon binds no more: its lease was spared.
    const bool spared = end.has_value() && *end <= state.soft.now && !IsWanted(state, lease);
    if (end.has_value() && *end <= state.soft.now + wanted && !spared) continue;
    v1::LeaseYielding* change = events.emplace_back().mutable_lease_yielding();
    change->set_lease_id(lease.id.value);
    change->set_cause(v1::YIELD_CAUSE_DRAIN);
    change->set_grace_ns(wanted);
    return true;
  }
  return false;
}

bool StepYielding(const State& state, const LeaseState& lease, Nanos now,
                  std::vector<v1::Event>& events) {
  if (!lease.yielding.has_value()) return false;
  if (MustGo(state, lease, now)) {
    FailLease(state, lease, Preempted(state, *lease.yielding), events);
    return true;
  }
  if (lease.draining.has_value()) return false;
  if (lease.run.has_value()) {
    // What is not being measured yet has nothing to lose.
    const RunState& run = state.hard.runs.at(*lease.run);
    if (run.phase != v1::RUN_PHASE_PREPARING) return false;
    v1::RunRequeued* change = events.emplace_back().mutable_run_requeued();
    change->set_run_id(run.id.value);
    *change->mutable_failure() = Preempted(state, *lease.yielding);
  }
  events.emplace_back().mutable_lease_releasing()->set_lease_id(lease.id.value);
  return true;
}

void TouchSpared(State& state) {
  for (const auto& [id, since] : state.soft.yield_since) {
    const auto lease = state.hard.leases.find(id);
    if (lease == state.hard.leases.end()) continue;
    if (lease->second.phase == v1::LEASE_PHASE_RELEASING) continue;
    if (MustGo(state, lease->second, state.soft.now)) state.soft.touched.insert(lease->second.job);
  }
}

std::optional<Nanos> GraceEnd(const State& state, const LeaseState& lease) {
  if (!lease.yielding.has_value() || !lease.yielding->has_grace_ns()) return std::nullopt;
  const auto since = state.soft.yield_since.find(lease.id);
  const Nanos from =
      since == state.soft.yield_since.end() ? state.soft.listening_since : since->second;
  return from + lease.yielding->grace_ns();
}

std::optional<Nanos> LeaseMaxEnd(const State& state, const LeaseState& lease) {
  const v1::JobSpec& spec = SpecOf(state, lease);
  const bool going = lease.yielding.has_value() || lease.phase == v1::LEASE_PHASE_RELEASING;
  if (going || !spec.has_lease_max_ns()) return std::nullopt;
  return LeaseClock(state, lease).since + spec.lease_max_ns();
}

std::string YieldText(const State& state, const LeaseState& lease) {
  if (!lease.yielding.has_value()) return "";
  return absl::StrCat("makes room for ", ForWhom(state, *lease.yielding), " (",
                      CauseWord(lease.yielding->cause()), ")");
}

}  // namespace rackmark
