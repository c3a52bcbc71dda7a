// What people ask of a node: cordon, drain, quarantine, and back. Pure; called by Decide.
#pragma once

#include "coordinator/core/decide.h"

namespace rackmark {

// Repeating changes nothing. NOT_FOUND names the nodes whose names are nearest; INVALID_ARGUMENT:
// an unknown change, or a grace that is out of bounds or belongs to no drain.
absl::StatusOr<Decision> DecideNodeChange(const State& state, const ChangeNode& command);

}  // namespace rackmark
