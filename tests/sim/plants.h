// The planted bugs of the disk: what becomes of an event on its way down. Pure.
#pragma once

#include "coordinator/core/state.h"
#include "tests/sim/knobs.h"

namespace rackmark::sim {

// `durable`: what the log before it makes.
void Spoil(Plant plant, const HardState& durable, v1::Event& event);

}  // namespace rackmark::sim
