// What a Fleet derives from its facts: the layout, and a pool for each selector that is asked for.
#include <algorithm>

#include "coordinator/plan/fleet.h"

namespace rackmark::plan {
namespace {

constexpr size_t kPoolsMax = 256;  // selectors remembered; the longest unused one goes
constexpr size_t kChangesMax = size_t{1} << 16;  // remembered; who missed more counts anew

}  // namespace

void Fleet::Restructure() { derived_.reset(); }

void Fleet::Touch(uint32_t node) {
  if (!derived_.has_value()) return;
  if (derived_->changed.size() == kChangesMax) {
    derived_->changed_before += kChangesMax;
    derived_->changed.clear();
  }
  derived_->changed.push_back(derived_->layout.ordinal[node]);
}

const Layout& Fleet::layout() const {
  if (derived_.has_value()) return derived_->layout;
  std::vector<Address> addresses;
  for (const Node& node : nodes_) addresses.push_back({node.id, node.domain, node.rack});
  Derived& derived = derived_.emplace();
  derived.layout = MakeLayout(addresses);
  derived.use.resize(derived.layout.domains.size());
  for (uint32_t slot = 0; slot < nodes_.size(); ++slot) {
    Use& use = derived.use[derived.layout.domain[derived.layout.ordinal[slot]]];
    for (const Device& device : nodes_[slot].devices) {
      if (!device.lease.has_value()) continue;
      use.held += 1;
      use.exclusive += leases_[*device.lease].facts.exclusive ? 1u : 0u;
    }
  }
  return derived.layout;
}

Fleet::Use Fleet::UseOf(uint32_t domain) const {
  layout();
  return derived_->use[domain];
}

bool Fleet::Usable(const Pool& pool, const Node& node, const Device& device) const {
  if (pool.classes[device.klass] == 0) return false;
  return pool.assume == Assume::kIdeal || (node.Placeable(pool.quarantined) && device.healthy);
}

// Brings the node's count, and the use of its domain, up to date.
void Fleet::Refresh(Pool& pool, uint32_t ordinal) const {
  if (pool.assume == Assume::kNow) {
    const uint32_t domain = derived_->layout.domain[ordinal];
    if (const auto at = pool.DomainAt(domain)) {
      pool.domains[*at].held = derived_->use[domain].held;
      pool.SetExclusive(*at, derived_->use[domain].exclusive);
    }
  }
  const auto position = pool.PositionOf(ordinal);
  if (!position.has_value()) return;
  const Node& node = NodeAt(ordinal);
  uint32_t count = 0;
  for (const Device& device : node.devices) {
    const bool free = pool.assume != Assume::kNow || !device.lease.has_value();
    count += free && Usable(pool, node, device) ? 1u : 0u;
  }
  pool.SetFree(*position, count);
}

std::vector<uint32_t> Fleet::Members(const Selector& selector,
                                     const std::vector<uint8_t>& classes) const {
  Derived& derived = *derived_;
  if (!selector.labels.empty() && !derived.labels_known) {
    for (uint32_t i = 0; i < nodes_.size(); ++i) {
      for (const auto& label : NodeAt(i).labels) derived.labels[label].push_back(i);
    }
    derived.labels_known = true;
  }
  const std::vector<uint32_t>* rarest = nullptr;
  for (const auto& label : selector.labels) {
    const auto at = derived.labels.find(label);
    if (at == derived.labels.end()) return {};
    if (rarest == nullptr || at->second.size() < rarest->size()) rarest = &at->second;
  }
  std::vector<uint32_t> members;
  const size_t candidates = rarest == nullptr ? nodes_.size() : rarest->size();
  for (uint32_t i = 0; i < candidates; ++i) {
    const uint32_t ordinal = rarest == nullptr ? i : (*rarest)[i];
    const Node& node = NodeAt(ordinal);
    const auto has = [&](const auto& label) {
      const auto at = node.labels.find(label.first);
      return at != node.labels.end() && at->second == label.second;
    };
    const auto selected = [&](const Device& device) { return classes[device.klass] != 0; };
    const std::vector<std::string>& named = selector.nodes;
    if (!named.empty() && !std::binary_search(named.begin(), named.end(), node.name)) continue;
    const std::vector<NodeId>& avoid = selector.avoid;
    if (std::binary_search(avoid.begin(), avoid.end(), node.id)) continue;
    if (std::any_of(node.devices.begin(), node.devices.end(), selected) &&
        std::all_of(selector.labels.begin(), selector.labels.end(), has)) {
      members.push_back(ordinal);
    }
  }
  return members;
}

Pool Fleet::Build(const Selector& selector, Assume assume) const {
  const Layout& layout = derived_->layout;
  Pool pool;
  pool.assume = assume;
  pool.quarantined = selector.quarantined;
  for (const Class& known : classes_) {
    const auto matches = [&](const std::string& m) { return ModelMatches(m, known.second); };
    const bool model = selector.models.empty() ||
                       std::any_of(selector.models.begin(), selector.models.end(), matches);
    pool.classes.push_back(known.first == selector.kind && model ? 1 : 0);
  }
  pool.nodes = Members(selector, pool.classes);
  std::optional<uint32_t> rack;
  for (const uint32_t ordinal : pool.nodes) {
    const uint32_t position = static_cast<uint32_t>(pool.ids.size());
    const Layout::Domain& home = layout.domains[layout.domain[ordinal]];
    const uint32_t domains = static_cast<uint32_t>(pool.domains.size());
    if (pool.domains.empty() || pool.domains.back().ordinal != layout.domain[ordinal]) {
      if (rack != home.rack) pool.racks.push_back({layout.racks[home.rack].id, domains, domains});
      rack = home.rack;
      Pool::Domain domain{home.id, layout.domain[ordinal], position, position};
      domain.rack = static_cast<uint32_t>(pool.racks.size() - 1);
      domain.lone = home.lone;
      if (!home.lone) pool.named.push_back(domains);
      pool.domains.push_back(domain);
      ++pool.racks.back().last;
    }
    ++pool.domains.back().last;
    pool.ids.push_back(NodeAt(ordinal).id);
    pool.domain_of.push_back(static_cast<uint32_t>(pool.domains.size() - 1));
    pool.by_id.push_back(position);
  }
  std::sort(pool.by_id.begin(), pool.by_id.end(),
            [&](uint32_t a, uint32_t b) { return pool.ids[a] < pool.ids[b]; });
  pool.free.resize(pool.nodes.size());
  pool.by_free.assign(1, static_cast<uint32_t>(pool.nodes.size()));
  for (const uint32_t ordinal : pool.nodes) Refresh(pool, ordinal);
  return pool;
}

const Pool& Fleet::PoolOf(const Selector& selector, Assume assume) const {
  layout();
  Derived& derived = *derived_;
  const uint64_t now = derived.changed_before + derived.changed.size();
  const auto [at, fresh] = derived.pools.try_emplace({selector, assume});
  Kept& kept = at->second;
  kept.used = ++derived.asked;
  if (fresh || kept.seen < derived.changed_before) {
    kept.pool = Build(selector, assume);
  } else {
    for (uint64_t i = kept.seen; i < now; ++i) {
      Refresh(kept.pool, derived.changed[i - derived.changed_before]);
    }
  }
  kept.seen = now;
  if (derived.pools.size() > kPoolsMax) {
    const auto oldest = std::min_element(
        derived.pools.begin(), derived.pools.end(),
        [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
    derived.pools.erase(oldest);
  }
  return kept.pool;
}

}  // namespace rackmark::plan
