// What a null workload asks to be held (job.proto, Hold), so that a test can break things in a
// phase that is otherwise over at once. The core itself holds PLACED, DRAINING and JUDGING, the
// ranks do the rest. Only the first lease of a job and the first attempt of a run are held, and
// never a job that somebody wants to end. Pure.
#pragma once

#include <optional>
#include <string>

#include "coordinator/core/state.h"

namespace rackmark {

// Until when the workers are not told of the lease. Missing = not held, or not any more.
std::optional<Nanos> HeldUntil(const State& state, const LeaseState& lease);
// Until when the run is not passed on from DRAINING, or not given to the reporter.
std::optional<Nanos> HeldUntil(const State& state, const RunState& run);

// What the lease's ranks keep before its first run; null = nothing.
const v1::Hold* RankHold(const State& state, const LeaseState& lease);

// What people read of it: the hold of the core, or the word of the rank that holds. Empty = none.
std::string HoldNote(const State& state, const RunState& run);

}  // namespace rackmark
