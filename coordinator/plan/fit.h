// Where in a pool a gang fits: the smallest island that has room, and in it which nodes. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/plan/gang.h"
#include "coordinator/plan/pool.h"
#include "coordinator/plan/spread.h"

namespace rackmark::plan {

// The island, and how the gang lies in it.
struct Site {
  Within level = Within::kCluster;
  uint32_t island = 0;                         // position of the node, domain or rack
  uint32_t first_domain = 0, last_domain = 0;  // that it covers
  uint32_t shares = 1;                         // domains that get an equal share;
  bool lone = false;                           // ... or any nodes that are in no domain with others
};

// The first level at which an island has room, and there the one with the least to give, then the
// one with the lowest node id; a request for exclusive use weighs nodes by their domain, as that is
// what it takes. A gang that spans several domains takes the same number of devices in each, in the
// fewest domains that allow it, and never mixes nodes of domains with lone ones.
std::optional<Site> FindSite(const Pool& pool, const GangRequest& request);

// REQUIRES: `site` is FindSite's answer. Parts go up with domain, then node.
std::vector<Part> PartsOf(const Pool& pool, const GangRequest& request, const Site& site);

}  // namespace rackmark::plan
