#include "coordinator/plan/victims.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace rackmark::plan {
namespace {

// What an island has, and what each lease in it would give back.
struct Ground {
  std::map<uint32_t, uint32_t> gains;  // usable devices by lease slot, in the island
  std::vector<uint32_t> must;          // slots that have to go whatever they give
  uint32_t free = 0;
  uint32_t full_nodes = 0;  // with per_node devices, once nobody is left
};

// Everybody in the domain if the gang wants it alone; else who has it alone.
std::vector<uint32_t> MustGo(const Fleet& fleet, uint32_t domain, bool everybody) {
  std::vector<uint32_t> must;
  const Layout::Domain& range = fleet.layout().domains[domain];
  for (uint32_t i = range.first; i < range.last; ++i) {
    for (const Fleet::Device& device : fleet.NodeAt(i).devices) {
      if (!device.lease.has_value()) continue;
      const LeaseFacts& lease = fleet.leases()[*device.lease].facts;
      if (!lease.yielding && (everybody || lease.exclusive)) must.push_back(*device.lease);
    }
  }
  std::sort(must.begin(), must.end());
  must.erase(std::unique(must.begin(), must.end()), must.end());
  return must;
}

Ground Survey(const Fleet& fleet, const Pool& pool, const GangRequest& request, uint32_t first,
              uint32_t last) {
  Ground ground;
  for (uint32_t i = first; i < last; ++i) {
    const Fleet::Node& node = fleet.NodeAt(pool.nodes[i]);
    uint32_t all = pool.free[i];
    for (const Fleet::Device& device : node.devices) {
      if (!device.lease.has_value() || fleet.leases()[*device.lease].facts.yielding) continue;
      if (!fleet.Usable(pool, node, device)) continue;
      ++ground.gains[*device.lease];
      ++all;
    }
    ground.free += pool.free[i];
    ground.full_nodes += request.per_node.has_value() && all >= *request.per_node ? 1u : 0u;
  }
  const Pool::Domain& domain = pool.domains[pool.domain_of[first]];
  if (request.exclusive || domain.Blocked()) {
    ground.must = MustGo(fleet, domain.ordinal, request.exclusive);
  }
  return ground;
}

struct Offer {
  uint32_t rank = 0;
  uint32_t gain = 0;
};

// Of offers, the largest first: what the first n give, for each n.
std::vector<uint32_t> SumsOf(const std::vector<Offer>& offers) {
  std::vector<uint32_t> sums = {0};
  for (const Offer& offer : offers) sums.push_back(sums.back() + offer.gain);
  return sums;
}

// The fewest that give `need` together; of so many, those that come first in rank.
std::optional<std::vector<uint32_t>> Fewest(std::vector<Offer> offers, uint32_t need) {
  std::sort(offers.begin(), offers.end(),
            [](const Offer& a, const Offer& b) { return a.gain > b.gain; });
  std::vector<uint32_t> sums = SumsOf(offers);
  if (sums.back() < need) return std::nullopt;
  size_t count = 0;
  while (sums[count] < need) ++count;
  // The most that `n` others than this one give.
  const auto give = [&](size_t n, size_t without) {
    if (without >= n) return sums[n];
    return sums[std::min(n + 1, offers.size())] - offers[without].gain;
  };
  std::vector<uint32_t> ranks;
  for (; count > 0; --count) {
    size_t first = offers.size();
    for (size_t i = 0; i < offers.size(); ++i) {
      if (offers[i].gain + give(count - 1, i) < need) continue;
      if (first == offers.size() || offers[i].rank < offers[first].rank) first = i;
    }
    ranks.push_back(offers[first].rank);
    need -= std::min(need, offers[first].gain);
    offers.erase(offers.begin() + static_cast<std::ptrdiff_t>(first));
    sums = SumsOf(offers);
  }
  return ranks;
}

std::optional<std::vector<uint32_t>> Solve(const GangRequest& request, const Ground& ground,
                                           const Candidates& candidates) {
  std::vector<uint32_t> ranks;
  uint32_t have = ground.free;
  for (const uint32_t slot : ground.must) {
    if (!candidates.rank[slot].has_value()) return std::nullopt;
    ranks.push_back(*candidates.rank[slot]);
    const auto gain = ground.gains.find(slot);
    have += gain == ground.gains.end() ? 0 : gain->second;
  }
  if (request.per_node.has_value() && *request.per_node != request.devices) {
    // Only with exclusive use: then everybody goes, and whole nodes are left.
    if (ground.full_nodes * *request.per_node < request.devices) return std::nullopt;
  } else {
    std::vector<Offer> offers;
    for (const auto& [slot, gain] : ground.gains) {
      const bool must = std::binary_search(ground.must.begin(), ground.must.end(), slot);
      if (candidates.rank[slot].has_value() && !must) {
        offers.push_back({*candidates.rank[slot], gain});
      }
    }
    const auto more = Fewest(offers, request.devices - std::min(request.devices, have));
    if (!more.has_value()) return std::nullopt;
    ranks.insert(ranks.end(), more->begin(), more->end());
  }
  std::sort(ranks.begin(), ranks.end());
  return ranks;
}

}  // namespace

void Candidates::Keep(size_t n) {
  for (size_t i = n; i < slots.size(); ++i) rank[slots[i]].reset();
  slots.resize(n);
}

Candidates CandidatesBelow(const Fleet& fleet, int32_t priority) {
  Candidates candidates;
  const std::vector<Fleet::Lease>& leases = fleet.leases();
  candidates.rank.resize(leases.size());
  for (uint32_t slot = 0; slot < leases.size(); ++slot) {
    const LeaseFacts& lease = leases[slot].facts;
    if (lease.id.IsNone() || leases[slot].seats.empty() || !lease.preemptible) continue;
    if (!lease.yielding && lease.priority < priority) candidates.slots.push_back(slot);
  }
  std::sort(candidates.slots.begin(), candidates.slots.end(), [&](uint32_t a, uint32_t b) {
    const LeaseFacts& x = leases[a].facts;
    const LeaseFacts& y = leases[b].facts;
    return std::tie(x.priority, y.started, y.id) < std::tie(y.priority, x.started, x.id);
  });
  for (uint32_t i = 0; i < candidates.slots.size(); ++i) candidates.rank[candidates.slots[i]] = i;
  return candidates;
}

bool Better(const Fleet& fleet, const Candidates& candidates, const std::vector<uint32_t>& a,
            const std::vector<uint32_t>& b) {
  if (a.empty() || b.empty()) return b.empty() && !a.empty();
  if (a.size() != b.size()) return a.size() < b.size();
  const auto oldest = [&](const std::vector<uint32_t>& ranks) {
    Nanos started = INT64_MAX;
    for (const uint32_t rank : ranks) {
      started = std::min(started, fleet.leases()[candidates.slots[rank]].facts.started);
    }
    return started;
  };
  return oldest(a) > oldest(b);
}

std::vector<uint32_t> VictimsInOneIsland(const Fleet& fleet, const Pool& pool,
                                         const GangRequest& request, const Candidates& candidates) {
  std::vector<uint32_t> best;
  const auto offer = [&](uint32_t first, uint32_t last) {
    const Ground ground = Survey(fleet, pool, request, first, last);
    const auto ranks = Solve(request, ground, candidates);
    if (ranks.has_value() && Better(fleet, candidates, *ranks, best)) best = *ranks;
  };
  const bool one_node = !request.per_node.has_value() || *request.per_node == request.devices;
  for (const uint32_t i : pool.by_id) {
    if (one_node) offer(i, i + 1);
  }
  if (WidestOf(request) == Within::kNode || (!request.exclusive && request.per_node.has_value())) {
    return best;
  }
  for (const uint32_t d : pool.named) offer(pool.domains[d].first, pool.domains[d].last);
  return best;
}

}  // namespace rackmark::plan
