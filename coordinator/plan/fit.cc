#include "coordinator/plan/fit.h"

#include <algorithm>
#include <tuple>

namespace rackmark::plan {
namespace {

// Least first; ties by id.
struct Rank {
  uint32_t outer = 0;  // what else is taken along
  uint32_t free = 0;
  NodeId id;
  bool operator<(const Rank& other) const {
    return std::tie(outer, free, id) < std::tie(other.outer, other.free, other.id);
  }
};

class Best {
 public:
  bool Worse(const Rank& rank) const { return found_.has_value() && !(rank < rank_); }
  void Offer(const Rank& rank, const Site& site) {
    if (Worse(rank)) return;
    rank_ = rank;
    found_ = site;
  }
  const std::optional<Site>& found() const { return found_; }

 private:
  Rank rank_;
  std::optional<Site> found_;
};

bool Open(const Pool::Domain& domain, const GangRequest& request) {
  return !domain.Blocked() && !(request.exclusive && domain.held > 0);
}

// Devices that the domain has to give, in whole nodes' shares.
uint32_t RoomOf(const Pool& pool, const Pool::Domain& domain, const GangRequest& request) {
  if (!Open(domain, request)) return 0;
  if (!request.per_node.has_value()) return domain.free;
  uint32_t room = 0;
  for (uint32_t i = domain.first; i < domain.last; ++i) {
    if (pool.free[i] >= *request.per_node) room += *request.per_node;
  }
  return room;
}

std::optional<Site> FindNode(const Pool& pool, const GangRequest& request) {
  if (request.per_node.has_value() && *request.per_node != request.devices) return std::nullopt;
  // The histogram says at once whether any node has so many, and how many the fullest such has.
  size_t least = request.devices;
  while (least < pool.by_free.size() && pool.by_free[least] == 0) ++least;
  if (least >= pool.by_free.size()) return std::nullopt;
  const auto site = [&](uint32_t position) {
    const uint32_t domain = pool.domain_of[position];
    return Site{Within::kNode, position, domain, domain + 1};
  };
  if (!request.exclusive) {
    // The histogram counts nodes of open domains alone: the first by id is there, and is the
    // answer.
    for (const uint32_t i : pool.by_id) {
      if (pool.free[i] == least && Open(pool.domains[pool.domain_of[i]], request)) return site(i);
    }
    return std::nullopt;
  }
  Best best;
  for (uint32_t i = 0; i < pool.nodes.size(); ++i) {
    const Pool::Domain& domain = pool.domains[pool.domain_of[i]];
    if (pool.free[i] < least || !Open(domain, request)) continue;
    best.Offer({domain.free, pool.free[i], pool.ids[i]}, site(i));
  }
  return best.found();
}

std::optional<Site> FindDomain(const Pool& pool, const GangRequest& request) {
  Best best;
  for (const uint32_t i : pool.named) {
    const Pool::Domain& domain = pool.domains[i];
    const Rank rank{0, domain.free, domain.id};
    if (domain.free < request.devices || best.Worse(rank)) continue;
    if (RoomOf(pool, domain, request) < request.devices) continue;
    best.Offer(rank, {Within::kDomain, i, i, i + 1});
  }
  return best.found();
}

// In how many domains of the range the gang finds equal shares: the fewest, at least two.
std::optional<uint32_t> EqualShares(const Pool& pool, const GangRequest& request, uint32_t first,
                                    uint32_t last) {
  const auto begin = std::lower_bound(pool.named.begin(), pool.named.end(), first);
  const auto end = std::lower_bound(begin, pool.named.end(), last);
  const uint32_t named = static_cast<uint32_t>(end - begin);
  if (named < 2) return std::nullopt;
  const uint32_t share_max = request.devices / 2;
  std::vector<uint32_t> with(share_max + 2);  // [s]: domains with room for s or more, once summed
  for (auto at = begin; at != end; ++at) {
    ++with[std::min(share_max, RoomOf(pool, pool.domains[*at], request))];
  }
  for (uint32_t s = share_max; s > 0; --s) with[s - 1] += with[s];
  const uint32_t unit = request.per_node.value_or(1);
  for (uint32_t k = 2; k <= std::min(named, request.devices); ++k) {
    if (request.devices % k != 0 || (request.devices / k) % unit != 0) continue;
    if (with[request.devices / k] >= k) return k;
  }
  return std::nullopt;
}

bool LoneRoom(const Pool& pool, const GangRequest& request, uint32_t first, uint32_t last) {
  uint32_t room = 0;
  for (uint32_t i = first; i < last && room < request.devices; ++i) {
    if (pool.domains[i].lone) room += RoomOf(pool, pool.domains[i], request);
  }
  return room >= request.devices;
}

std::optional<Site> Span(const Pool& pool, const GangRequest& request, Site site) {
  if (const auto k = EqualShares(pool, request, site.first_domain, site.last_domain)) {
    site.shares = *k;
    return site;
  }
  site.lone = true;
  if (!LoneRoom(pool, request, site.first_domain, site.last_domain)) return std::nullopt;
  return site;
}

std::optional<Site> FindRack(const Pool& pool, const GangRequest& request) {
  Best best;
  for (uint32_t i = 0; i < pool.racks.size(); ++i) {
    const Pool::Rack& rack = pool.racks[i];
    const Rank rank{0, rack.free, rack.id};
    if (rack.last - rack.first < 2 || rack.free < request.devices || best.Worse(rank)) continue;
    const auto site = Span(pool, request, {Within::kRack, i, rack.first, rack.last});
    if (site.has_value()) best.Offer(rank, *site);
  }
  return best.found();
}

std::vector<uint32_t> SharingDomains(const Pool& pool, const GangRequest& request,
                                     const Site& site) {
  if (site.level != Within::kRack && site.level != Within::kCluster) return {site.first_domain};
  std::vector<uint32_t> domains;
  for (const uint32_t i : pool.named) {
    if (i < site.first_domain || i >= site.last_domain) continue;
    if (RoomOf(pool, pool.domains[i], request) >= request.devices / site.shares) {
      domains.push_back(i);
    }
  }
  std::sort(domains.begin(), domains.end(), [&](uint32_t a, uint32_t b) {
    const Pool::Domain& x = pool.domains[a];
    const Pool::Domain& y = pool.domains[b];
    return std::tie(x.free, x.id) < std::tie(y.free, y.id);
  });
  domains.resize(site.shares);
  return domains;
}

}  // namespace

std::optional<Site> FindSite(const Pool& pool, const GangRequest& request) {
  if (!WellFormed(request) || pool.total < request.devices) return std::nullopt;
  const Within widest = WidestOf(request);
  if (const auto node = FindNode(pool, request)) return node;
  if (widest == Within::kNode) return std::nullopt;
  if (const auto domain = FindDomain(pool, request)) return domain;
  if (widest == Within::kDomain) return std::nullopt;
  if (const auto rack = FindRack(pool, request)) return rack;
  if (widest == Within::kRack) return std::nullopt;
  return Span(pool, request, {Within::kCluster, 0, 0, static_cast<uint32_t>(pool.domains.size())});
}

std::vector<Part> PartsOf(const Pool& pool, const GangRequest& request, const Site& site) {
  if (site.level == Within::kNode) return {{site.island, request.devices}};
  std::vector<Part> parts;
  std::vector<uint32_t> positions;
  if (site.lone) {
    for (const uint32_t i : pool.by_id) {
      const uint32_t domain = pool.domain_of[i];
      const bool inside = domain >= site.first_domain && domain < site.last_domain;
      if (inside && pool.domains[domain].lone && Open(pool.domains[domain], request)) {
        positions.push_back(i);
      }
    }
    parts = Spread(pool, positions, request.devices, request.per_node);
  } else {
    for (const uint32_t d : SharingDomains(pool, request, site)) {
      positions.clear();
      for (uint32_t i = pool.domains[d].first; i < pool.domains[d].last; ++i) {
        positions.push_back(i);
      }
      for (const Part& part :
           Spread(pool, positions, request.devices / site.shares, request.per_node)) {
        parts.push_back(part);
      }
    }
  }
  std::sort(parts.begin(), parts.end(), [&](const Part& a, const Part& b) {
    const NodeId x = pool.domains[pool.domain_of[a.position]].id;
    const NodeId y = pool.domains[pool.domain_of[b.position]].id;
    return std::tie(x, pool.ids[a.position]) < std::tie(y, pool.ids[b.position]);
  });
  return parts;
}

}  // namespace rackmark::plan
