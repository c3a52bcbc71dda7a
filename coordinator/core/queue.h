// The queue in front of plan: which job is placed next, and why the others wait. Pure.
#pragma once

#include <optional>

#include "coordinator/core/state.h"
#include "coordinator/plan/place.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

// One node as plan sees it.
plan::Node PlanNode(const State& state, const NodeState& node);

// Has runs to do and no lease to do them on.
bool WantsGang(const State& state, const JobState& job);

// The next placement that can be made now. Oldest job first; a younger one goes past only those
// that could not run even if every lease on the nodes in touch ended, so that nobody starves.
std::optional<v1::LeasePlaced> PlaceNext(const State& state);

}  // namespace rackmark
