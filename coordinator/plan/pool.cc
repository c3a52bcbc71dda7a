#include "coordinator/plan/pool.h"

#include <algorithm>

namespace rackmark::plan {

bool Pool::Avoids(NodeId node) const {
  return !avoid.empty() && std::binary_search(avoid.begin(), avoid.end(), node);
}

std::optional<uint32_t> Pool::PositionOf(uint32_t ordinal) const {
  // Where every node is selected, as most often, a position is an ordinal.
  if (ordinal < nodes.size() && nodes[ordinal] == ordinal) return ordinal;
  const auto at = std::lower_bound(nodes.begin(), nodes.end(), ordinal);
  if (at == nodes.end() || *at != ordinal) return std::nullopt;
  return static_cast<uint32_t>(at - nodes.begin());
}

std::optional<uint32_t> Pool::DomainAt(uint32_t ordinal) const {
  if (ordinal < domains.size() && domains[ordinal].ordinal == ordinal) return ordinal;
  const auto at = std::lower_bound(
      domains.begin(), domains.end(), ordinal,
      [](const Domain& domain, uint32_t wanted) { return domain.ordinal < wanted; });
  if (at == domains.end() || at->ordinal != ordinal) return std::nullopt;
  return static_cast<uint32_t>(at - domains.begin());
}

void Pool::Count(uint32_t position, uint32_t count, bool add) {
  Rack& rack = racks[domains[domain_of[position]].rack];
  if (by_free.size() <= count) by_free.resize(count + 1);
  if (add) {
    ++by_free[count];
    rack.free += count;
    total += count;
  } else {
    --by_free[count];
    rack.free -= count;
    total -= count;
  }
}

void Pool::SetFree(uint32_t position, uint32_t count) {
  Domain& domain = domains[domain_of[position]];
  const uint32_t before = free[position];
  if (before == count) return;
  free[position] = count;
  domain.free = domain.free - before + count;
  if (domain.Blocked()) return;
  Count(position, before, false);
  Count(position, count, true);
}

void Pool::SetExclusive(uint32_t at, uint32_t count) {
  Domain& domain = domains[at];
  const bool before = domain.Blocked();
  domain.exclusive = count;
  if (before == domain.Blocked()) return;
  for (uint32_t i = domain.first; i < domain.last; ++i) Count(i, free[i], before);
}

}  // namespace rackmark::plan
