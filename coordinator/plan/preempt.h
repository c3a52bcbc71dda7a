// Whose leases end so that a gang of higher priority fits. Pure.
//
// Only preemptible leases of lower priority, whole, and only if the gang then fits: else none.
// First of all the highest priority among the victims is as low as can be; then they are few; then
// young. Few: no victim is superfluous, and where the gang goes to one node, or without per_node to
// one domain, no smaller number would do. Over several domains the least number is a covering
// problem, which is not solved: there the youngest leases of the lowest priority are taken until it
// fits, and of these all are spared without which it fits.
#pragma once

#include <cstdint>
#include <vector>

#include "coordinator/plan/choose.h"

namespace rackmark::plan {

// As of when all that are yielding have ended.
Pool YieldedPool(const Fleet& fleet, const Selector& selector);

// Ascending. None also if the gang fits as soon as those that are yielding have ended.
std::vector<LeaseId> ChooseVictims(const Fleet& fleet, const GangRequest& request,
                                   int32_t priority);

}  // namespace rackmark::plan
