// Where a node is and what it has, as it says itself: what gangs are drawn from and checked by. It
// knows nothing of how the planner sees that. Pure.
#pragma once

#include <string>

#include "rackmark/v1/cluster.pb.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark::sim {

// The NVLink domain; empty = none.
std::string DomainName(const v1::NodeInfo& node);
// The domain, or the node itself where it is in none: what an exclusive gang has for itself.
std::string DomainKey(const v1::NodeInfo& node);
// The rack; without one its domain or itself is all that is sure to be close.
std::string RackKey(const v1::NodeInfo& node);

// Why a device of this node must not serve the gang, by the gang's selector; empty = it may.
std::string WhyNotServes(const v1::Gang& gang, const v1::NodeInfo& node, uint32_t device);

}  // namespace rackmark::sim
