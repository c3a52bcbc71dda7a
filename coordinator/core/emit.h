// Finishing touches on events that a decision has made.
#pragma once

#include <optional>
#include <vector>

#include "coordinator/core/command.h"
#include "coordinator/core/state.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

// Sets format, seq (after those in `hard`), time, and the author where none is set yet.
void Stamp(const HardState& hard, const v1::Principal& by, Now now, std::vector<v1::Event>& events);

// RunJudging, with the clocks that the run's nodes have now: judging may come after a restart,
// which forgets them, and must come to the same bytes.
void EmitJudging(const State& state, const RunState& run, const std::optional<v1::Failure>& failure,
                 std::vector<v1::Event>& events);

}  // namespace rackmark
