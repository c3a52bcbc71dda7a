// What a Fleet derives from its facts: the layout, and a pool for each selector that is asked for.
#include <algorithm>

#include "coordinator/plan/fleet.h"

namespace rackmark::plan {
namespace {

constexpr size_t kPoolsMax = 256;  // selectors remembered; the longest unused one goes
constexpr size_t kChangesMax = size_t{1} << 16;  // remembered; who missed more counts anew
constexpr size_t kExplainedMax = 64;             // requests; each may name every lease

}  // namespace

void Fleet::Changes::Add(uint32_t ordinal) {
  if (nodes.size() == kChangesMax) {
    before += kChangesMax;
    nodes.clear();
  }
  nodes.push_back(ordinal);
}

void Fleet::Restructure() {
  derived_.reset();
  ++facts_version_;
}

void Fleet::Touch(uint32_t node) {
  if (derived_.has_value()) derived_->any.Add(derived_->layout.ordinal[node]);
}

void Fleet::TouchFacts(uint32_t node) {
  ++facts_version_;
  Touch(node);
  if (derived_.has_value()) derived_->facts.Add(derived_->layout.ordinal[node]);
}

std::shared_ptr<const Refusals>& Fleet::Explanation(const GangRequest& request) const {
  layout();
  Derived& derived = *derived_;
  const bool old = derived.explained_at != derived.any.now();
  if (old || derived.explained.size() >= kExplainedMax) derived.explained.clear();
  derived.explained_at = derived.any.now();
  std::shared_ptr<const Refusals>& kept = derived.explained[request];
  work_.explained += kept == nullptr ? 1u : 0u;
  return kept;
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
  if (pool.classes[device.klass] == 0 || pool.Avoids(node.id)) return false;
  return pool.assume == Assume::kIdeal || (node.Placeable(pool.quarantined) && device.healthy);
}

// Brings the node's count, and the use of its domain, up to date.
void Fleet::Refresh(Pool& pool, uint32_t ordinal) const {
  ++work_.refreshed;
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

// Among which its members are, ascending: by the names or the label that leave fewest; missing =
// all.
std::optional<std::vector<uint32_t>> Fleet::Candidates(const Selector& selector) const {
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
    if (at == derived.labels.end()) return std::vector<uint32_t>();
    if (rarest == nullptr || at->second.size() < rarest->size()) rarest = &at->second;
  }
  const size_t fewest = rarest == nullptr ? nodes_.size() : rarest->size();
  if (selector.nodes.empty() || selector.nodes.size() >= fewest) {
    return rarest == nullptr ? std::nullopt : std::optional(*rarest);
  }
  if (derived.names.empty()) {
    for (uint32_t i = 0; i < nodes_.size(); ++i) derived.names[NodeAt(i).name].push_back(i);
  }
  std::vector<uint32_t> named;
  for (const std::string& name : selector.nodes) {
    const auto at = derived.names.find(name);
    if (at != derived.names.end()) named.insert(named.end(), at->second.begin(), at->second.end());
  }
  std::sort(named.begin(), named.end());
  named.erase(std::unique(named.begin(), named.end()), named.end());
  return named;
}

std::vector<uint32_t> Fleet::Members(const Selector& selector,
                                     const std::vector<uint8_t>& classes) const {
  std::vector<uint32_t> members;
  const auto some = Candidates(selector);
  const size_t candidates = some.has_value() ? some->size() : nodes_.size();
  work_.counted += candidates;
  for (uint32_t i = 0; i < candidates; ++i) {
    const uint32_t ordinal = some.has_value() ? (*some)[i] : i;
    const Node& node = NodeAt(ordinal);
    const auto has = [&](const auto& label) {
      const auto at = node.labels.find(label.first);
      return at != node.labels.end() && at->second == label.second;
    };
    const auto selected = [&](const Device& device) { return classes[device.klass] != 0; };
    const std::vector<std::string>& named = selector.nodes;
    if (!named.empty() && !std::binary_search(named.begin(), named.end(), node.name)) continue;
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

// Jobs that lost a node avoid each another one: what they share is not counted anew for each.
Pool Fleet::BuildAvoiding(const Selector& selector, Assume assume) const {
  Selector others = selector;
  others.avoid.clear();
  Pool pool = PoolOf(others, assume);
  pool.avoid = selector.avoid;
  for (const NodeId id : selector.avoid) {
    const auto at = slot_of_node_.find(id);
    if (at != slot_of_node_.end()) Refresh(pool, derived_->layout.ordinal[at->second]);
  }
  return pool;
}

const Pool& Fleet::PoolOf(const Selector& selector, Assume assume) const {
  layout();
  Derived& derived = *derived_;
  const Changes& changes = assume == Assume::kNow ? derived.any : derived.facts;
  const auto [at, fresh] = derived.pools.try_emplace({selector, assume});
  Kept& kept = at->second;
  kept.used = ++derived.asked;
  if (fresh || kept.seen < changes.before) {
    kept.pool = selector.avoid.empty() ? Build(selector, assume) : BuildAvoiding(selector, assume);
  } else {
    for (uint64_t i = kept.seen; i < changes.now(); ++i) {
      Refresh(kept.pool, changes.nodes[i - changes.before]);
    }
  }
  kept.seen = changes.now();
  if (derived.pools.size() > kPoolsMax) {
    const auto oldest = std::min_element(
        derived.pools.begin(), derived.pools.end(),
        [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
    derived.pools.erase(oldest);
  }
  return kept.pool;
}

}  // namespace rackmark::plan
