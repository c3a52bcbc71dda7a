// The dumb way to place a gang: every number of devices from every node, and of those that obey the
// rules the best by the words of the rules. Knows facts only: no layout, no pool. Test code only.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "coordinator/plan/choose.h"
#include "coordinator/plan/fleet_test_kit.h"

namespace rackmark::plan {

class Oracle {
 public:
  using Counts = std::vector<uint32_t>;  // by index of the node
  // Smaller is better: the level; what else is taken along, what is free in the island, its id;
  // lone nodes; how many domains and which; how many nodes.
  struct Key {
    Within level = Within::kCluster;
    uint32_t outer = 0, free = 0;
    uint64_t island = 0;
    bool lone = false;
    size_t domains = 0;
    std::vector<std::pair<uint32_t, uint64_t>> which;
    size_t nodes = 0;
    auto operator<=>(const Key&) const = default;
  };

  Oracle(const Facts& facts, const GangRequest& request) : facts_(facts), request_(request) {
    std::map<std::string, std::string> rack_of;
    for (const NodeFacts& node : facts.nodes) {
      const std::string domain = DomainOf(node);
      std::string& rack = rack_of[domain];
      if (!node.rack.empty() && (rack.empty() || node.rack < rack)) rack = node.rack;
    }
    for (const NodeFacts& node : facts.nodes) {
      const std::string domain = DomainOf(node);
      domain_.push_back(domain);
      rack_.push_back(rack_of[domain].empty() ? domain : "rack " + rack_of[domain]);
      for (const DeviceFacts& device : node.devices) {
        if (device.holder.IsNone()) continue;
        busy_.insert(domain);
        const LeaseFacts* lease = facts.Lease(device.holder);
        if (lease != nullptr && lease->exclusive) blocked_.insert(domain);
      }
    }
    for (size_t i = 0; i < facts.nodes.size(); ++i) free_.push_back(FreeOf(i));
  }

  uint32_t Free(size_t node) const { return free_[node]; }

  std::optional<Key> Best() {
    best_.reset();
    Counts counts(facts_.nodes.size());
    Try(counts, 0, request_.devices);
    return best_;
  }

  // nullopt: against the rules.
  std::optional<Key> KeyOf(const Counts& counts) const {
    std::map<std::string, uint32_t> shares;
    std::set<std::string> racks;
    std::set<bool> lone;
    Key key;
    size_t only = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] == 0) continue;
      if (counts[i] > free_[i]) return std::nullopt;
      if (request_.per_node.has_value() && counts[i] != *request_.per_node) return std::nullopt;
      if (request_.exclusive && busy_.count(domain_[i]) > 0) return std::nullopt;
      shares[domain_[i]] += counts[i];
      racks.insert(rack_[i]);
      lone.insert(facts_.nodes[i].domain.empty());
      ++key.nodes;
      only = i;
    }
    if (key.nodes == 1) {
      key.level = Within::kNode;
      key.outer = request_.exclusive ? Sum(domain_, domain_[only]) : 0;
      key.free = free_[only];
      key.island = facts_.nodes[only].id.value;
    } else if (shares.size() == 1) {
      key.level = Within::kDomain;
      key.free = Sum(domain_, domain_[only]);
      key.island = Lowest(domain_, domain_[only]);
    } else {
      if (lone.size() == 2) return std::nullopt;
      key.lone = *lone.begin();
      for (const auto& [domain, share] : shares) {
        if (!key.lone && share != shares.begin()->second) return std::nullopt;
        if (!key.lone) key.which.emplace_back(Sum(domain_, domain), Lowest(domain_, domain));
      }
      std::sort(key.which.begin(), key.which.end());
      key.domains = key.which.size();
      if (racks.size() == 1) {
        key.level = Within::kRack;
        key.free = Sum(rack_, rack_[only]);
        key.island = Lowest(rack_, rack_[only]);
      }
    }
    if (!request_.preferred && key.level > request_.within) return std::nullopt;
    return key;
  }

 private:
  static std::string DomainOf(const NodeFacts& node) {
    return node.domain.empty() ? "node " + node.name : "domain " + node.domain;
  }
  uint32_t FreeOf(size_t i) const {
    const NodeFacts& node = facts_.nodes[i];
    const Selector& selector = request_.selector;
    if (node.readiness != Readiness::kReady || node.cordoned) return 0;
    if (node.quarantined != selector.quarantined) return 0;
    if (std::count(selector.avoid.begin(), selector.avoid.end(), node.id) > 0) return 0;
    const auto named = std::count(selector.nodes.begin(), selector.nodes.end(), node.name);
    if (!selector.nodes.empty() && named == 0) return 0;
    if (blocked_.count(domain_[i]) > 0) return 0;
    for (const auto& [key, value] : request_.selector.labels) {
      if (node.labels.count(key) == 0 || node.labels.at(key) != value) return 0;
    }
    uint32_t free = 0;
    for (const DeviceFacts& device : node.devices) {
      const bool model = request_.selector.models.empty() || device.model == "NVIDIA H100";
      const bool kind = device.kind == request_.selector.kind;
      free += model && kind && device.healthy && device.holder.IsNone() ? 1u : 0u;
    }
    return free;
  }
  uint32_t Sum(const std::vector<std::string>& names, const std::string& name) const {
    uint32_t sum = 0;
    for (size_t i = 0; i < names.size(); ++i) sum += names[i] == name ? free_[i] : 0;
    return sum;
  }
  // Islands are told apart by their lowest node, a rack by that of its domains: the same thing.
  uint64_t Lowest(const std::vector<std::string>& names, const std::string& name) const {
    uint64_t id = UINT64_MAX;
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == name) id = std::min(id, facts_.nodes[i].id.value);
    }
    return id;
  }
  void Try(Counts& counts, size_t node, uint32_t rest) {
    if (node == counts.size()) {
      if (rest > 0) return;
      const std::optional<Key> key = KeyOf(counts);
      if (key.has_value() && (!best_.has_value() || *key < *best_)) best_ = key;
      return;
    }
    for (uint32_t n = 0; n <= std::min(rest, free_[node]); ++n) {
      counts[node] = n;
      Try(counts, node + 1, rest - n);
    }
    counts[node] = 0;
  }

  const Facts& facts_;
  const GangRequest& request_;
  std::vector<std::string> domain_, rack_;  // by index of the node
  std::set<std::string> busy_, blocked_;    // domains
  std::vector<uint32_t> free_;
  std::optional<Key> best_;
};

}  // namespace rackmark::plan
