#include "coordinator/plan/fleet.h"

#include <algorithm>

#include "common/status.h"

namespace rackmark::plan {
namespace {

constexpr size_t kClassesMax = 4096;

}  // namespace

const Fleet::Node* Fleet::Find(NodeId id) const {
  const auto at = slot_of_node_.find(id);
  return at == slot_of_node_.end() ? nullptr : &nodes_[at->second];
}

std::optional<Fleet::Where> Fleet::Find(const Seat& seat) const {
  const auto at = slot_of_node_.find(seat.node);
  if (at == slot_of_node_.end()) return std::nullopt;
  const std::vector<Device>& devices = nodes_[at->second].devices;
  const auto device =
      std::lower_bound(devices.begin(), devices.end(), seat.device,
                       [](const Device& d, uint32_t index) { return d.index < index; });
  if (device == devices.end() || device->index != seat.device) return std::nullopt;
  return Where{at->second, static_cast<uint32_t>(device - devices.begin())};
}

std::optional<uint32_t> Fleet::FindLease(LeaseId id) const {
  const auto at = slot_of_lease_.find(id);
  if (at == slot_of_lease_.end()) return std::nullopt;
  return at->second;
}

uint32_t Fleet::ClassOf(const DeviceFacts& device) {
  const auto [at, fresh] =
      class_ids_.emplace(Class{device.kind, device.model}, static_cast<uint32_t>(classes_.size()));
  if (fresh) classes_.push_back(at->first);
  return at->second;
}

// Keeps those that a device still has: the names are the workers' words, and must not pile up.
void Fleet::ForgetClasses() {
  const std::vector<Class> before = std::exchange(classes_, {});
  class_ids_.clear();
  for (Node& node : nodes_) {
    for (Device& device : node.devices) {
      const Class& known = before[device.klass];
      device.klass = ClassOf({device.index, known.first, known.second, true, {}});
    }
  }
}

uint32_t Fleet::LeaseSlot(LeaseId id) {
  if (const auto found = FindLease(id)) return *found;
  uint32_t slot = static_cast<uint32_t>(leases_.size());
  if (free_slots_.empty()) {
    leases_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  leases_[slot].facts.id = id;
  slot_of_lease_.emplace(id, slot);
  return slot;
}

void Fleet::DropLease(uint32_t slot) {
  SetEnd(slot, std::nullopt);
  slot_of_lease_.erase(leases_[slot].facts.id);
  leases_[slot] = Lease{};
  free_slots_.push_back(slot);
}

void Fleet::SetEnd(uint32_t slot, std::optional<Nanos> ends) {
  std::optional<Nanos>& known = leases_[slot].facts.ends;
  if (known == ends) return;
  if (known.has_value()) {
    ends_.erase(std::lower_bound(ends_.begin(), ends_.end(), std::pair{*known, slot}));
  }
  known = ends;
  if (!ends.has_value()) return;
  const std::pair entry{*ends, slot};
  ends_.insert(std::lower_bound(ends_.begin(), ends_.end(), entry), entry);
}

void Fleet::SetHolder(Where where, std::optional<uint32_t> lease) {
  std::optional<uint32_t>& holder = nodes_[where.node].devices[where.device].lease;
  if (holder == lease) return;
  Use* use = nullptr;
  if (derived_.has_value()) {
    const uint32_t ordinal = derived_->layout.ordinal[where.node];
    use = &derived_->use[derived_->layout.domain[ordinal]];
  }
  if (holder.has_value()) {
    Lease& old = leases_[*holder];
    const uint32_t seat = nodes_[where.node].devices[where.device].seat;
    old.seats[seat] = old.seats.back();
    nodes_[old.seats[seat].node].devices[old.seats[seat].device].seat = seat;
    old.seats.pop_back();
    if (use != nullptr) use->held -= 1;
    if (use != nullptr && old.facts.exclusive) use->exclusive -= 1;
    if (old.seats.empty() && !old.known) DropLease(*holder);
  }
  holder = lease;
  if (lease.has_value()) {
    std::vector<Where>& seats = leases_[*lease].seats;
    nodes_[where.node].devices[where.device].seat = static_cast<uint32_t>(seats.size());
    seats.push_back(where);
    if (use != nullptr) use->held += 1;
    if (use != nullptr && leases_[*lease].facts.exclusive) use->exclusive += 1;
  }
  Touch(where.node);
}

bool Fleet::SamePlace(const Node& node, const NodeFacts& facts) const {
  if (node.name != facts.name || node.domain != facts.domain || node.rack != facts.rack ||
      node.labels != facts.labels || node.devices.size() != facts.devices.size()) {
    return false;
  }
  for (size_t i = 0; i < facts.devices.size(); ++i) {
    const Class& known = classes_[node.devices[i].klass];
    if (node.devices[i].index != facts.devices[i].index || known.first != facts.devices[i].kind ||
        known.second != facts.devices[i].model) {
      return false;
    }
  }
  return true;
}

// REQUIRES: SamePlace.
bool Fleet::SameFacts(const Node& node, const NodeFacts& facts) const {
  bool same = node.readiness == facts.readiness && node.cordoned == facts.cordoned &&
              node.quarantined == facts.quarantined;
  for (size_t i = 0; i < facts.devices.size(); ++i) {
    same = same && node.devices[i].healthy == facts.devices[i].healthy;
  }
  return same;
}

NodeChange Fleet::SetNode(const NodeFacts& given) {
  NodeFacts facts = given;
  std::sort(facts.devices.begin(), facts.devices.end(),
            [](const DeviceFacts& a, const DeviceFacts& b) { return a.index < b.index; });
  const auto [at, fresh] = slot_of_node_.emplace(facts.id, static_cast<uint32_t>(nodes_.size()));
  const uint32_t slot = at->second;
  if (fresh) nodes_.emplace_back();
  const bool moved = fresh || !SamePlace(nodes_[slot], facts);
  const bool changed = moved || !SameFacts(nodes_[slot], facts);
  if (moved) {
    Restructure();
    Node& node = nodes_[slot];
    for (uint32_t i = 0; i < node.devices.size(); ++i) SetHolder({slot, i}, std::nullopt);
    node.id = facts.id;
    node.name = facts.name;
    node.domain = facts.domain;
    node.rack = facts.rack;
    node.labels = facts.labels;
    node.devices.clear();
    for (const DeviceFacts& device : facts.devices) {
      node.devices.push_back({device.index, ClassOf(device), device.healthy, std::nullopt, 0});
    }
    if (classes_.size() > kClassesMax) ForgetClasses();
  }
  Node& node = nodes_[slot];
  node.readiness = facts.readiness;
  node.cordoned = facts.cordoned;
  node.quarantined = facts.quarantined;
  bool held = false;
  for (uint32_t i = 0; i < node.devices.size(); ++i) {
    node.devices[i].healthy = facts.devices[i].healthy;
    const LeaseId holder = facts.devices[i].holder;
    const auto lease = holder.IsNone() ? std::nullopt : std::optional(LeaseSlot(holder));
    held = held || node.devices[i].lease != lease;
    SetHolder({slot, i}, lease);
  }
  if (changed) TouchFacts(slot);
  if (changed) return NodeChange::kFacts;
  return held ? NodeChange::kHolders : NodeChange::kNothing;
}

void Fleet::DropNode(NodeId id) {
  const auto at = slot_of_node_.find(id);
  if (at == slot_of_node_.end()) return;
  Restructure();
  const uint32_t slot = at->second;
  for (uint32_t i = 0; i < nodes_[slot].devices.size(); ++i) SetHolder({slot, i}, std::nullopt);
  slot_of_node_.erase(at);
  const uint32_t last = static_cast<uint32_t>(nodes_.size() - 1);
  if (slot != last) {
    for (Lease& lease : leases_) {
      for (Where& where : lease.seats) {
        if (where.node == last) where.node = slot;
      }
    }
    nodes_[slot] = std::move(nodes_[last]);
    slot_of_node_[nodes_[slot].id] = slot;
  }
  nodes_.pop_back();
}

void Fleet::SetLease(const LeaseFacts& facts) {
  const uint32_t slot = LeaseSlot(facts.id);
  SetEnd(slot, facts.ends);
  Lease& lease = leases_[slot];
  const bool was = lease.facts.exclusive;
  lease.facts = facts;
  lease.known = true;
  if (was == facts.exclusive) return;
  for (const Where where : lease.seats) {
    if (derived_.has_value()) {
      const uint32_t ordinal = derived_->layout.ordinal[where.node];
      uint32_t& exclusive = derived_->use[derived_->layout.domain[ordinal]].exclusive;
      exclusive = facts.exclusive ? exclusive + 1 : exclusive - 1;
    }
    Touch(where.node);
  }
}

void Fleet::Hold(LeaseId lease, const std::vector<Seat>& seats) {
  const uint32_t slot = LeaseSlot(lease);
  for (const Seat& seat : seats) {
    const std::optional<Where> where = Find(seat);
    RACKMARK_CHECK(where.has_value());
    RACKMARK_CHECK(!nodes_[where->node].devices[where->device].lease.has_value());
    SetHolder(*where, slot);
  }
}

void Fleet::Free(LeaseId lease) {
  const std::optional<uint32_t> slot = FindLease(lease);
  if (!slot.has_value()) return;
  leases_[*slot].known = true;  // so that it lives until its last seat is given back
  while (!leases_[*slot].seats.empty()) SetHolder(leases_[*slot].seats.back(), std::nullopt);
  DropLease(*slot);
}

void Fleet::Free(LeaseId lease, NodeId node) {
  const std::optional<uint32_t> slot = FindLease(lease);
  const auto at = slot_of_node_.find(node);
  if (!slot.has_value() || at == slot_of_node_.end()) return;
  for (uint32_t i = 0; i < nodes_[at->second].devices.size(); ++i) {
    if (nodes_[at->second].devices[i].lease == slot) SetHolder({at->second, i}, std::nullopt);
  }
}

}  // namespace rackmark::plan
