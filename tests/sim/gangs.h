// Gangs as the seed draws them: an island is drawn, and then what it surely holds. Pure but for
// chance.
#pragma once

#include "rackmark/v1/job.pb.h"

namespace rackmark::sim {

struct World;

// It fits the whole cluster when that is free and well, as strictly as it asks.
void DrawGang(World& world, v1::Gang& gang);

}  // namespace rackmark::sim
