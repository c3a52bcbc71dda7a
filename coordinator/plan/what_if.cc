#include "coordinator/plan/what_if.h"

#include "common/status.h"

namespace rackmark::plan {

void SupposeEnded(const Fleet& fleet, uint32_t slot, bool ended, Pool& pool) {
  const Layout& layout = fleet.layout();
  const Fleet::Lease& lease = fleet.leases()[slot];
  const uint32_t one = ended ? 1u : 0u - 1u;  // unsigned arithmetic wraps: adds or takes one
  for (size_t i = 0; i < lease.seats.size();) {
    const uint32_t slot_of_node = lease.seats[i].node;
    const uint32_t ordinal = layout.ordinal[slot_of_node];
    const Fleet::Node& node = fleet.nodes()[slot_of_node];
    uint32_t seats = 0;
    uint32_t usable = 0;
    for (; i < lease.seats.size() && lease.seats[i].node == slot_of_node; ++i) {
      ++seats;
      usable += fleet.Usable(pool, node, node.devices[lease.seats[i].device]) ? 1u : 0u;
    }
    if (const auto at = pool.DomainAt(layout.domain[ordinal])) {
      pool.domains[*at].held -= one * seats;
      if (lease.facts.exclusive) {
        pool.SetExclusive(*at, pool.domains[*at].exclusive - one * seats);
      }
    }
    if (const auto at = pool.PositionOf(ordinal)) {
      pool.SetFree(*at, pool.free[*at] + one * usable);
    }
  }
}

void SupposeTaken(const Fleet& fleet, const std::vector<Seat>& seats, bool exclusive, Pool& pool) {
  const Layout& layout = fleet.layout();
  for (const Seat& seat : seats) {
    const auto where = fleet.Find(seat);
    RACKMARK_CHECK(where.has_value());
    const uint32_t ordinal = layout.ordinal[where->node];
    if (const auto at = pool.DomainAt(layout.domain[ordinal])) {
      pool.domains[*at].held += 1;
      if (exclusive) pool.SetExclusive(*at, pool.domains[*at].exclusive + 1);
    }
    const Fleet::Node& node = fleet.nodes()[where->node];
    const Fleet::Device& device = node.devices[where->device];
    if (device.lease.has_value() || !fleet.Usable(pool, node, device)) continue;
    if (const auto at = pool.PositionOf(ordinal)) pool.SetFree(*at, pool.free[*at] - 1);
  }
}

}  // namespace rackmark::plan
