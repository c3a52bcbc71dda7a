// When State next needs a Tick: silence of nodes, limits of leases and runs. No timers, no sleeping
// threads: the shell sleeps until this or until a command.
#pragma once

#include <optional>

#include "coordinator/core/state.h"

namespace rackmark {

// When the node's silence, or something of the job, is due; missing = nothing is. Of a job only
// what is later than the last turn: what is past had its turn.
std::optional<Nanos> NodeDeadline(const State& state, const NodeState& node);
std::optional<Nanos> JobDeadline(const State& state, const JobState& job);

// Soft: what is due of one that has changed, or of all (State was read anew, a stall was forgiven).
void IndexNode(State& state, NodeId node);
void IndexJob(State& state, JobId job);
void IndexAll(State& state);

// By the clock of Now::monotonic; never later than the last turn + config.tick_max, so that a
// longer gap between turns is a stall of ours and no silence of the nodes.
Nanos NextDeadline(const State& state);

// How long the node has been silent while we listened.
Nanos SilenceOf(const State& state, NodeId node, Nanos now);

// When the run's or lease's present phase must be over, and since when it lasts.
struct PhaseClock {
  Nanos since = 0;
  std::optional<Nanos> deadline;
};
PhaseClock RunClock(const State& state, const RunState& run);
PhaseClock LeaseClock(const State& state, const LeaseState& lease);
// RELEASING: when all that lives must have given its devices back, and what has not is stuck.
Nanos ReleaseEnd(const State& state, const LeaseState& lease);
// Measured, and nobody gets on: taken for stalled by a Report that comes then or later and still
// says nothing new. Missing while it is not measured, and without such a limit.
std::optional<Nanos> StallDeadline(const State& state, const RunState& run);
// Until when the culprit of a lease whose ranks failed by a peer's doing is waited for; missing
// while there is no such rank.
std::optional<Nanos> BlameDeadline(const State& state, const LeaseState& lease);

}  // namespace rackmark
