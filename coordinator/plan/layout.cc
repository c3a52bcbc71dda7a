#include "coordinator/plan/layout.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace rackmark::plan {
namespace {

struct Named {
  NodeId id;
  std::string_view rack;
};

struct Key {
  NodeId rack, domain, node;
  bool lone = true;
  uint32_t index = 0;
  bool operator<(const Key& other) const {
    return std::tie(rack, domain, node) < std::tie(other.rack, other.domain, other.node);
  }
};

std::map<std::string_view, Named> NamedDomains(const std::vector<Address>& nodes) {
  std::map<std::string_view, Named> domains;
  for (const Address& node : nodes) {
    if (node.domain.empty()) continue;
    const auto [at, fresh] = domains.emplace(node.domain, Named{node.id, node.rack});
    if (fresh) continue;
    at->second.id = std::min(at->second.id, node.id);
    if (node.rack.empty()) continue;
    std::string_view& rack = at->second.rack;
    if (rack.empty() || node.rack < rack) rack = node.rack;
  }
  return domains;
}

std::vector<Key> KeysOf(const std::vector<Address>& nodes) {
  const auto named = NamedDomains(nodes);
  std::map<std::string_view, NodeId> racks;
  std::vector<Named> homes;
  for (const Address& node : nodes) {
    homes.push_back(node.domain.empty() ? Named{node.id, node.rack} : named.at(node.domain));
    const Named& home = homes.back();
    if (home.rack.empty()) continue;
    const auto [at, fresh] = racks.emplace(home.rack, home.id);
    if (!fresh) at->second = std::min(at->second, home.id);
  }
  std::vector<Key> keys;
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    const Named& home = homes[i];
    const NodeId rack = home.rack.empty() ? home.id : racks.at(home.rack);
    keys.push_back({rack, home.id, nodes[i].id, nodes[i].domain.empty(), i});
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace

Layout MakeLayout(const std::vector<Address>& nodes) {
  Layout layout;
  layout.ordinal.resize(nodes.size());
  for (const Key& key : KeysOf(nodes)) {
    const uint32_t ordinal = static_cast<uint32_t>(layout.order.size());
    const uint32_t domains = static_cast<uint32_t>(layout.domains.size());
    if (layout.racks.empty() || layout.racks.back().id != key.rack) {
      layout.racks.push_back({key.rack, domains, domains});
    }
    Layout::Rack& rack = layout.racks.back();
    if (rack.first == rack.last || layout.domains.back().id != key.domain) {
      const uint32_t home = static_cast<uint32_t>(layout.racks.size() - 1);
      layout.domains.push_back({key.domain, ordinal, ordinal, home, key.lone});
      ++rack.last;
    }
    ++layout.domains.back().last;
    layout.order.push_back(key.index);
    layout.ordinal[key.index] = ordinal;
    layout.domain.push_back(static_cast<uint32_t>(layout.domains.size() - 1));
  }
  return layout;
}

}  // namespace rackmark::plan
