// What is wrong with a live lease, and who is to blame. Pure.
#pragma once

#include <optional>
#include <vector>

#include "coordinator/core/state.h"

namespace rackmark {

// The first of: a lost node, a device that became unhealthy, a dead rank, a failed rank, a phase
// over its limit (but for DRAINING, which ends the run and not the lease), a run that does not get
// on. What hits several nodes at once blames none of them. Of several ranks the one that died is
// the cause, because survivors fail in its collectives; then one that failed by its own doing; then
// the lowest rank. One that failed by a peer's doing is no culprit: the peer's own word is waited
// for a while.
std::optional<v1::Failure> FindFault(const State& state, const LeaseState& lease, Nanos now);

// A DRAINING run over its limit: its samples are not all here.
std::optional<v1::Failure> FindDrainTimeout(const State& state, const LeaseState& lease, Nanos now);

// A new incarnation of this worker came while the lease was live: its ranks are gone. On another
// boot it is not the worker that started anew, but the machine under it: the node was lost.
v1::Failure NodeRestarted(const NodeState& node, const v1::NodeInfo& now);

}  // namespace rackmark
