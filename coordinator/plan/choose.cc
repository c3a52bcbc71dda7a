#include "coordinator/plan/choose.h"

#include <algorithm>

#include "common/status.h"

namespace rackmark::plan {
namespace {

bool Ended(const Supposed& supposed, uint32_t lease) {
  return lease < supposed.ended.size() && supposed.ended[lease];
}

void AddSeats(const Fleet& fleet, const Pool& pool, const Part& part, const Supposed& supposed,
              std::vector<Seat>& seats) {
  const Fleet::Node& node = fleet.NodeAt(pool.nodes[part.position]);
  std::vector<uint32_t> taken;
  for (const bool held : {true, false}) {
    for (const Fleet::Device& device : node.devices) {
      if (taken.size() == part.count) break;
      if (device.lease.has_value() != held || !fleet.Usable(pool, node, device)) continue;
      if (held && !Ended(supposed, *device.lease)) continue;
      if (std::binary_search(supposed.taken.begin(), supposed.taken.end(),
                             Seat{node.id, device.index})) {
        continue;
      }
      taken.push_back(device.index);
    }
  }
  RACKMARK_CHECK(taken.size() == part.count);
  std::sort(taken.begin(), taken.end());
  for (const uint32_t device : taken) seats.push_back({node.id, device});
}

}  // namespace

GangPlace PlaceAt(const Fleet& fleet, const Pool& pool, const GangRequest& request,
                  const Site& site, const Supposed& supposed) {
  GangPlace place;
  place.level = site.level;
  place.preference_met = site.level <= request.within;
  std::vector<uint32_t> domains;
  for (const Part& part : PartsOf(pool, request, site)) {
    domains.push_back(pool.domain_of[part.position]);
    AddSeats(fleet, pool, part, supposed, place.seats);
  }
  std::sort(domains.begin(), domains.end());
  place.domains =
      static_cast<uint32_t>(std::unique(domains.begin(), domains.end()) - domains.begin());
  return place;
}

std::optional<GangPlace> FindPlace(const Fleet& fleet, const GangRequest& request) {
  const Pool& pool = fleet.PoolOf(request.selector, Assume::kNow);
  const std::optional<Site> site = FindSite(pool, request);
  if (!site.has_value()) return std::nullopt;
  return PlaceAt(fleet, pool, request, *site, {});
}

bool CouldFit(const Fleet& fleet, const GangRequest& request, Assume assume) {
  return FindSite(fleet.PoolOf(request.selector, assume), request).has_value();
}

v1::Placement ToPlacement(const Fleet& fleet, const std::vector<Seat>& seats) {
  v1::Placement placement;
  for (uint32_t rank = 0; rank < seats.size(); ++rank) {
    const Fleet::Node* node = fleet.Find(seats[rank].node);
    RACKMARK_CHECK(node != nullptr);
    v1::RankPlace* place = placement.add_ranks();
    place->set_rank(rank);
    place->set_node_id(node->id.value);
    place->set_node(node->name);
    place->set_device(seats[rank].device);
  }
  return placement;
}

}  // namespace rackmark::plan
