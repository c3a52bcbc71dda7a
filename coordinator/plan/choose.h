// Places a gang in the fleet, whole or not at all. Pure: same facts and request, same answer.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/plan/fit.h"
#include "coordinator/plan/fleet.h"
#include "rackmark/v1/run.pb.h"

namespace rackmark::plan {

struct GangPlace {
  Within level = Within::kCluster;  // the island that holds all of it
  bool preference_met = true;       // false: a preferred island had no room
  uint32_t domains = 0;             // NVLink domains that it spans
  std::vector<Seat> seats;          // by rank: by domain, node, device
};

std::optional<GangPlace> FindPlace(const Fleet& fleet, const GangRequest& request);

// Whether there would be room. With kIdeal: whether the known nodes could ever hold it.
bool CouldFit(const Fleet& fleet, const GangRequest& request, Assume assume);

// What a "what if" supposes of single devices.
struct Supposed {
  std::vector<bool> ended;  // by lease slot: what it holds may be had
  std::vector<Seat> taken;  // ascending: may not be had, though free
};

// The gang at a site that FindSite found in a pool of the fleet, or in a copy of one that supposes
// the same. On each node it takes first what ended leases still hold, as nobody else can have that
// until then; then the lowest devices that are free.
GangPlace PlaceAt(const Fleet& fleet, const Pool& pool, const GangRequest& request,
                  const Site& site, const Supposed& supposed);

v1::Placement ToPlacement(const Fleet& fleet, const std::vector<Seat>& seats);

}  // namespace rackmark::plan
