// What keeps each known device from a gang, counted per constraint. Pure, like place.h, and it asks
// the same questions in the same words: what is left here is what Place chooses from.
#pragma once

#include <cstdint>
#include <vector>

#include "coordinator/plan/place.h"

namespace rackmark::plan {

// In the order in which they are applied: a device is counted by the first that refuses it.
enum class Constraint {
  kKind,        // the device is of another kind
  kLost,        // its node is lost,
  kSilent,      // ... has not been heard of for a while,
  kUnreported,  // ... or not at all since the coordinator started
  kUnhealthy,
  kHeld,     // by a lease: one entry for each
  kPerNode,  // its node has fewer than per_node that all others left
};

struct Filtered {
  Constraint constraint = Constraint::kKind;
  LeaseId holder;  // of kHeld
  uint32_t devices = 0;
  std::vector<NodeId> nodes;  // where they are, ascending
};

struct Filtering {
  uint32_t total = 0;              // known devices
  std::vector<Filtered> filtered;  // by constraint, then holder; none with 0 devices
  uint32_t left = 0;               // total - the sum of them
};

Filtering Filter(const Inventory& inventory, const v1::Gang& gang);

}  // namespace rackmark::plan
