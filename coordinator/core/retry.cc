#include "coordinator/core/retry.h"

#include "coordinator/core/emit.h"

namespace rackmark {

bool IsOwnDoing(v1::FailureKind kind) {
  switch (kind) {
    case v1::FAILURE_KIND_NODE_LOST:
    case v1::FAILURE_KIND_NODE_RESTARTED:
    case v1::FAILURE_KIND_FENCED: return false;
    default: return true;
  }
}

bool IsFinal(v1::FailureKind kind) {
  switch (kind) {
    case v1::FAILURE_KIND_UNSUPPORTED:
    case v1::FAILURE_KIND_VERIFY:
    case v1::FAILURE_KIND_SAMPLES_LOST:
    case v1::FAILURE_KIND_DRAIN_TIMEOUT:
    case v1::FAILURE_KIND_CANCELLED: return true;
    default: return false;
  }
}

bool MayRetry(const State& state, const RunState& run, const v1::Failure& failure) {
  if (IsFinal(failure.kind())) return false;
  const JobState& job = state.hard.jobs.at(run.job);
  if (job.cancel_requested || run.attempt >= job.job.spec().limits().attempts()) return false;
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
  };
  if (lease.draining.has_value()) end(*lease.draining, /*again=*/false);
  if (lease.run.has_value()) {
    // What was only being prepared beside a run that drains would not have begun yet without that:
    // it costs no try. It comes back here no more often than others are tried.
    const bool cancelled = state.hard.jobs.at(lease.job).cancel_requested;
    end(*lease.run, /*again=*/lease.draining.has_value() && !cancelled);
  }
  v1::LeaseReleasing* change = events.emplace_back().mutable_lease_releasing();
  change->set_lease_id(lease.id.value);
  *change->mutable_failure() = failure;
}

}  // namespace rackmark
