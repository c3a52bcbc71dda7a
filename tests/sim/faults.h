// What goes wrong, when: each kind of fault of the knobs comes back at random until the world
// heals.
#pragma once

namespace rackmark::sim {

struct World;

void BeginFaults(World& world);
// Whatever is stopped goes on, whatever is cut is mended; what is down comes back by itself.
void HealFaults(World& world);

}  // namespace rackmark::sim
