// How many devices of which node, for a share of a gang whose nodes are chosen from one range or
// list of a pool. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/plan/pool.h"

namespace rackmark::plan {

struct Part {
  uint32_t position = 0;  // of a node, in the pool
  uint32_t count = 0;
};

// per_node devices on each of devices / per_node nodes: of those that have so many the fullest,
// then the lower id. Without per_node the fewest nodes: the emptiest whole, until one can take the
// rest, and for the rest the fullest that can. No set of so few nodes has more to give.
// REQUIRES: there is room. `positions` ascend by node id.
std::vector<Part> Spread(const Pool& pool, const std::vector<uint32_t>& positions, uint32_t devices,
                         std::optional<uint32_t> per_node);

}  // namespace rackmark::plan
