// What a failure leads to: another attempt, or the judge. Pure.
#pragma once

#include <vector>

#include "coordinator/core/state.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

// The run's own doing, so that it counts as having killed its lease; a lost node is not.
bool IsOwnDoing(v1::FailureKind kind);

v1::FailureClass ClassOf(v1::FailureKind kind);

// A part broke, and the failure says whose: remembered of that node.
bool IsOffence(const v1::Failure& failure);

// Where what failed so is tried once more, while limits allow (README.md holds the whole table).
enum class Retry {
  kHere,  // it looks like software, or like nobody's doing: the same nodes serve as well as any
  kElsewhere,  // a part of the machine: other nodes first
  kNever,      // another attempt could not come out differently, or nobody wants one
};
Retry RetryOf(v1::FailureKind kind);

// Of a lease that never became ACTIVE: whether the job's set-up is to blame.
bool CountsAsFailedSetup(v1::FailureKind kind);

// Retry::kNever.
bool IsFinal(v1::FailureKind kind);

// Whether the run, whose present attempt failed so, may start once more.
bool MayRetry(const State& state, const RunState& run, const v1::Failure& failure);

// The job's leases cannot be set up: its queued runs go to the judge with setup_failure.
bool SetupExhausted(const State& state, const JobState& job);

// Ends the attempt that is on the lease, if any, and then the lease: rank processes of a failed
// gang are never used again (a communicator serves once).
void FailLease(const State& state, const LeaseState& lease, const v1::Failure& failure,
               std::vector<v1::Event>& events);

}  // namespace rackmark
