#include "coordinator/plan/refusals.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

namespace rackmark::plan {
namespace {

using Key = std::pair<Reason, LeaseId>;

class Tally {
 public:
  explicit Tally(Refusals& result) : result_(result) {}
  void Finish() {
    for (auto& [key, entry] : entries_) {
      std::sort(entry.nodes.begin(), entry.nodes.end());
      result_.left -= entry.devices;
      result_.refused.push_back(std::move(entry));
    }
  }
  void Count(const Key& key, NodeId node, uint32_t devices) {
    if (devices == 0) return;
    Refusal& entry = entries_[key];
    entry.reason = key.first;
    entry.holder = key.second;
    entry.devices += devices;
    if (entry.nodes.empty() || entry.nodes.back() != node) entry.nodes.push_back(node);
  }

 private:
  Refusals& result_;
  std::map<Key, Refusal> entries_;
};

std::optional<Reason> RefusesNode(const Fleet::Node& node, const Selector& selector) {
  for (const auto& [key, value] : selector.labels) {
    const auto at = node.labels.find(key);
    if (at == node.labels.end() || at->second != value) return Reason::kLabel;
  }
  const std::vector<std::string>& named = selector.nodes;
  if (!named.empty() && !std::binary_search(named.begin(), named.end(), node.name)) {
    return Reason::kNotNamed;
  }
  if (std::binary_search(selector.avoid.begin(), selector.avoid.end(), node.id)) {
    return Reason::kAvoided;
  }
  if (node.readiness == Readiness::kLost) return Reason::kLost;
  if (node.readiness == Readiness::kSilent) return Reason::kSilent;
  if (node.readiness == Readiness::kUnreported) return Reason::kUnreported;
  if (node.cordoned) return Reason::kCordoned;
  if (node.quarantined && !selector.quarantined) return Reason::kQuarantined;
  if (!node.quarantined && selector.quarantined) return Reason::kInUse;
  return std::nullopt;
}

LeaseId HolderOf(const Fleet& fleet, const Fleet::Device& device) {
  return device.lease.has_value() ? fleet.leases()[*device.lease].facts.id : LeaseId{};
}

// Why the free devices of a domain are not for this gang.
std::optional<Key> RefusesDomain(const Fleet& fleet, uint32_t domain, const GangRequest& request) {
  const Fleet::Use use = fleet.UseOf(domain);
  if (use.exclusive > 0) {
    const Layout::Domain& range = fleet.layout().domains[domain];
    for (uint32_t i = range.first; i < range.last; ++i) {
      for (const Fleet::Device& device : fleet.NodeAt(i).devices) {
        if (!device.lease.has_value()) continue;
        const LeaseFacts& lease = fleet.leases()[*device.lease].facts;
        if (lease.exclusive) return Key{Reason::kExclusive, lease.id};
      }
    }
  }
  if (request.exclusive && use.held > 0) return Key{Reason::kDomainBusy, {}};
  return std::nullopt;
}

// Counts what the node cannot give; how many it can is returned.
uint32_t CountNode(const Fleet& fleet, const Fleet::Node& node, const Selector& selector,
                   const Pool& ideal, Tally& tally) {
  const std::optional<Reason> whole = RefusesNode(node, selector);
  uint32_t left = 0;
  for (const Fleet::Device& device : node.devices) {
    const LeaseId holder = HolderOf(fleet, device);
    if (fleet.classes()[device.klass].first != selector.kind) {
      tally.Count({Reason::kKind, {}}, node.id, 1);
    } else if (ideal.classes[device.klass] == 0) {
      tally.Count({Reason::kModel, {}}, node.id, 1);
    } else if (whole.has_value()) {
      tally.Count({*whole, {}}, node.id, 1);
    } else if (!device.healthy) {
      tally.Count({Reason::kUnhealthy, {}}, node.id, 1);
    } else if (!holder.IsNone()) {
      tally.Count({Reason::kHeld, holder}, node.id, 1);
    } else {
      ++left;
    }
  }
  return left;
}

// By ordinal of the first node: the same for all nodes of one of the widest islands.
uint32_t IslandOf(const Layout& layout, uint32_t ordinal, Within widest) {
  const Layout::Domain& domain = layout.domains[layout.domain[ordinal]];
  switch (widest) {
    case Within::kNode: return ordinal;
    case Within::kDomain: return domain.first;
    case Within::kRack: return layout.domains[layout.racks[domain.rack].first].first;
    case Within::kCluster: return 0;
  }
  return 0;
}

}  // namespace

Refusals Explain(const Fleet& fleet, const GangRequest& request) {
  Refusals result;
  const Layout& layout = fleet.layout();
  const uint32_t nodes = static_cast<uint32_t>(layout.order.size());
  std::vector<uint32_t> left(nodes);
  std::map<uint32_t, uint32_t> islands;
  const bool fits = CouldFit(fleet, request, Assume::kNow);
  result.impossible = !CouldFit(fleet, request, Assume::kIdeal);
  result.fits_when_freed = CouldFit(fleet, request, Assume::kFreed);
  for (const Fleet::Node& node : fleet.nodes()) {
    result.total += static_cast<uint32_t>(node.devices.size());
  }
  result.left = result.total;
  const Pool& ideal = fleet.PoolOf(request.selector, Assume::kIdeal);
  Tally tally(result);
  for (uint32_t domain = 0; domain < layout.domains.size(); ++domain) {
    const std::optional<Key> refused = RefusesDomain(fleet, domain, request);
    for (uint32_t i = layout.domains[domain].first; i < layout.domains[domain].last; ++i) {
      const NodeId id = fleet.NodeAt(i).id;
      left[i] = CountNode(fleet, fleet.NodeAt(i), request.selector, ideal, tally);
      if (refused.has_value()) tally.Count(*refused, id, std::exchange(left[i], 0));
      if (left[i] < request.per_node.value_or(0)) {
        tally.Count({Reason::kPerNode, {}}, id, std::exchange(left[i], 0));
      }
      islands[IslandOf(layout, i, WidestOf(request))] += left[i];
    }
  }
  for (uint32_t i = 0; i < nodes; ++i) {
    const NodeId id = fleet.NodeAt(i).id;
    if (islands[IslandOf(layout, i, WidestOf(request))] < request.devices) {
      tally.Count({Reason::kIsland, {}}, id, left[i]);
    } else if (!fits) {
      tally.Count({Reason::kShares, {}}, id, left[i]);
    }
  }
  tally.Finish();
  return result;
}

std::shared_ptr<const Refusals> Explained(const Fleet& fleet, const GangRequest& request) {
  std::shared_ptr<const Refusals>& kept = fleet.Explanation(request);
  if (kept == nullptr) kept = std::make_shared<const Refusals>(Explain(fleet, request));
  return kept;
}

}  // namespace rackmark::plan
