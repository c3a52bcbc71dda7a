// Supposes, in a copy of a pool, that leases end or that seats are taken. Pure but for the copy.
#pragma once

#include <cstdint>
#include <vector>

#include "coordinator/plan/fleet.h"

namespace rackmark::plan {

// As if the lease of this slot had ended; with `ended` false, takes that back.
// REQUIRES: a copy of the fleet's pool under Assume::kNow.
void SupposeEnded(const Fleet& fleet, uint32_t lease, bool ended, Pool& pool);

// As if somebody held the seats, and with `exclusive` also their domains. Seats that are held
// already change nothing but that.
void SupposeTaken(const Fleet& fleet, const std::vector<Seat>& seats, bool exclusive, Pool& pool);

}  // namespace rackmark::plan
