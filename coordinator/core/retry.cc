#include "coordinator/core/retry.h"

#include "coordinator/core/emit.h"

namespace rackmark {

bool IsOwnDoing(v1::FailureKind kind) {
  switch (kind) {
    case v1::FAILURE_KIND_NODE_LOST:
    case v1::FAILURE_KIND_NODE_RESTARTED:
    case v1::FAILURE_KIND_FENCED:
    case v1::FAILURE_KIND_DEVICE:
    case v1::FAILURE_KIND_PREEMPTED: return false;
    default: return true;
  }
}

v1::FailureClass ClassOf(v1::FailureKind kind) {
  switch (kind) {
    case v1::FAILURE_KIND_RANK_DIED:
    case v1::FAILURE_KIND_RANK_FAILED:
    case v1::FAILURE_KIND_NODE_LOST:
    case v1::FAILURE_KIND_NODE_RESTARTED:
    case v1::FAILURE_KIND_FENCED:
    case v1::FAILURE_KIND_STALLED:
    case v1::FAILURE_KIND_SETUP_TIMEOUT:
    case v1::FAILURE_KIND_PREPARE_TIMEOUT:
    case v1::FAILURE_KIND_UNSUPPORTED:
    case v1::FAILURE_KIND_EXPECTATION:
    case v1::FAILURE_KIND_DEVICE: return v1::FAILURE_CLASS_INFRASTRUCTURE;
    case v1::FAILURE_KIND_VERIFY: return v1::FAILURE_CLASS_PERFORMANCE;
    case v1::FAILURE_KIND_SAMPLES_LOST:
    case v1::FAILURE_KIND_DRAIN_TIMEOUT: return v1::FAILURE_CLASS_INVALID;
    case v1::FAILURE_KIND_MEASURE_TIMEOUT:
    case v1::FAILURE_KIND_BUDGET: return v1::FAILURE_CLASS_TIMEOUT;
    case v1::FAILURE_KIND_CANCELLED:
    case v1::FAILURE_KIND_DEPENDENCY: return v1::FAILURE_CLASS_CANCELLED;
    case v1::FAILURE_KIND_PREEMPTED: return v1::FAILURE_CLASS_PREEMPTED;
    default: return v1::FAILURE_CLASS_UNKNOWN;
  }
}

// A rank that failed by itself may be the program's doing: only what is a machine's counts against
// one, or a rank that died under it. A worker that starts anew is what an upgrade looks like.
bool IsOffence(const v1::Failure& failure) {
  switch (failure.kind()) {
    case v1::FAILURE_KIND_RANK_DIED:
    case v1::FAILURE_KIND_NODE_LOST:
    case v1::FAILURE_KIND_SETUP_TIMEOUT:
    case v1::FAILURE_KIND_PREPARE_TIMEOUT:
    case v1::FAILURE_KIND_STALLED:
    case v1::FAILURE_KIND_VERIFY:
    case v1::FAILURE_KIND_DEVICE: return !failure.node().empty();
    default: return false;
  }
}

bool CountsAsFailedSetup(v1::FailureKind kind) {
  return kind != v1::FAILURE_KIND_CANCELLED && kind != v1::FAILURE_KIND_PREEMPTED &&
         kind != v1::FAILURE_KIND_BUDGET;
}

Retry RetryOf(v1::FailureKind kind) {
  switch (kind) {
    case v1::FAILURE_KIND_RANK_DIED:
    case v1::FAILURE_KIND_NODE_LOST:
    case v1::FAILURE_KIND_SETUP_TIMEOUT:
    case v1::FAILURE_KIND_PREPARE_TIMEOUT:
    case v1::FAILURE_KIND_STALLED:
    case v1::FAILURE_KIND_DEVICE: return Retry::kElsewhere;
    case v1::FAILURE_KIND_UNSUPPORTED:
    case v1::FAILURE_KIND_VERIFY:
    case v1::FAILURE_KIND_SAMPLES_LOST:
    case v1::FAILURE_KIND_DRAIN_TIMEOUT:
    case v1::FAILURE_KIND_BUDGET:
    case v1::FAILURE_KIND_DEPENDENCY:
    case v1::FAILURE_KIND_EXPECTATION:
    case v1::FAILURE_KIND_CANCELLED: return Retry::kNever;
    default: return Retry::kHere;
  }
}

bool IsFinal(v1::FailureKind kind) { return RetryOf(kind) == Retry::kNever; }

bool MayRetry(const State& state, const RunState& run, const v1::Failure& failure) {
  if (IsFinal(failure.kind())) return false;
  const JobState& job = state.hard.jobs.at(run.job);
  if (job.cancel_requested) return false;
  if (failure.kind() == v1::FAILURE_KIND_PREEMPTED) return true;
  if (run.attempt - run.free_tries >= job.job.spec().limits().attempts()) return false;
  return !IsOwnDoing(failure.kind()) || run.lease_kills + 1 < state.config.lease_kills;
}

bool SetupExhausted(const State& state, const JobState& job) {
  if (job.setup_failures == 0) return false;
  return IsFinal(job.setup_failure->kind()) || job.setup_failures >= state.config.setup_attempts;
}

void FailLease(const State& state, const LeaseState& lease, const v1::Failure& failure,
               std::vector<v1::Event>& events) {
  const auto end = [&](RunId id, bool again) {
    const RunState& run = state.hard.runs.at(id);
    if (!again && !MayRetry(state, run, failure)) return EmitJudging(state, run, failure, events);
    v1::RunRequeued* change = events.emplace_back().mutable_run_requeued();
    change->set_run_id(run.id.value);
    *change->mutable_failure() = failure;
    change->set_free(again);
  };
  if (lease.draining.has_value()) end(*lease.draining, /*again=*/false);
  if (lease.run.has_value()) {
    // What was only being prepared beside a run that drains would not have begun yet without that:
    // it costs no try, and it has killed no lease. It comes back here no more often than others are
    // tried.
    const bool cancelled = state.hard.jobs.at(lease.job).cancel_requested;
    end(*lease.run, /*again=*/lease.draining.has_value() && !cancelled);
  }
  v1::LeaseReleasing* change = events.emplace_back().mutable_lease_releasing();
  change->set_lease_id(lease.id.value);
  *change->mutable_failure() = failure;
}

}  // namespace rackmark
