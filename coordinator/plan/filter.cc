#include "coordinator/plan/filter.h"

#include <map>
#include <optional>
#include <utility>

namespace rackmark::plan {
namespace {

using Key = std::pair<Constraint, LeaseId>;

std::optional<Constraint> RefusesNode(const Node& node) {
  switch (node.readiness) {
    case Readiness::kReady: return std::nullopt;
    case Readiness::kLost: return Constraint::kLost;
    case Readiness::kSilent: return Constraint::kSilent;
    case Readiness::kUnreported: return Constraint::kUnreported;
  }
  return std::nullopt;
}

std::optional<Key> Refuses(const Node& node, const Slot& slot, v1::DeviceKind kind) {
  if (slot.kind != kind) return Key{Constraint::kKind, {}};
  if (const auto refused = RefusesNode(node)) return Key{*refused, {}};
  if (!slot.healthy) return Key{Constraint::kUnhealthy, {}};
  if (!slot.holder.IsNone()) return Key{Constraint::kHeld, slot.holder};
  return std::nullopt;
}

}  // namespace

Filtering Filter(const Inventory& inventory, const v1::Gang& gang) {
  Filtering result;
  std::map<Key, Filtered> filtered;
  const auto count = [&](const Key& key, const Node& node, uint32_t devices) {
    Filtered& entry = filtered[key];
    entry.constraint = key.first;
    entry.holder = key.second;
    entry.devices += devices;
    if (entry.nodes.empty() || entry.nodes.back() != node.id) entry.nodes.push_back(node.id);
  };
  for (const Node& node : inventory) {
    uint32_t left = 0;
    for (const Slot& slot : node.slots) {
      ++result.total;
      if (const auto key = Refuses(node, slot, gang.kind())) {
        count(*key, node, 1);
      } else {
        ++left;
      }
    }
    if (gang.has_per_node() && left > 0 && left < gang.per_node()) {
      count({Constraint::kPerNode, {}}, node, std::exchange(left, 0));
    }
    result.left += left;
  }
  for (auto& [key, entry] : filtered) result.filtered.push_back(std::move(entry));
  return result;
}

}  // namespace rackmark::plan
