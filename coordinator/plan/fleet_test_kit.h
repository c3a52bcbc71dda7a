// Small fleets for the tests of this room, by hand and at random. Test code only.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/random.h"
#include "coordinator/plan/fleet.h"

namespace rackmark::plan {

inline NodeFacts GpuNode(uint64_t id, std::string domain, std::string rack, uint32_t gpus) {
  NodeFacts node;
  node.id = NodeId{id};
  node.name = "n" + std::to_string(id);
  node.domain = std::move(domain);
  node.rack = std::move(rack);
  for (uint32_t i = 0; i < gpus; ++i) {
    node.devices.push_back({i, v1::DEVICE_KIND_GPU, "NVIDIA H100", true, LeaseId{}});
  }
  return node;
}

inline GangRequest Gpus(uint32_t devices, Within within = Within::kCluster) {
  GangRequest request;
  request.selector.kind = v1::DEVICE_KIND_GPU;
  request.devices = devices;
  request.within = within;
  return request;
}

// All that a fleet is told, kept plainly, so that tests can look at it another way.
struct Facts {
  std::vector<NodeFacts> nodes;  // ascending
  std::vector<LeaseFacts> leases;

  Fleet Make() const {
    Fleet fleet;
    for (const NodeFacts& node : nodes) fleet.SetNode(node);
    for (const LeaseFacts& lease : leases) fleet.SetLease(lease);
    return fleet;
  }
  const LeaseFacts* Lease(LeaseId id) const {
    for (const LeaseFacts& lease : leases) {
      if (lease.id == id) return &lease;
    }
    return nullptr;
  }
  // As after the end of this lease.
  Facts Without(LeaseId id) const {
    Facts facts = *this;
    for (NodeFacts& node : facts.nodes) {
      for (DeviceFacts& device : node.devices) {
        if (device.holder == id) device.holder = LeaseId{};
      }
    }
    std::erase_if(facts.leases, [&](const LeaseFacts& lease) { return lease.id == id; });
    return facts;
  }
};

inline bool OneIn(Random& random, uint64_t n) { return random.Between(1, n) == 1; }

inline uint32_t Upto(Random& random, uint32_t n) {
  return static_cast<uint32_t>(random.Between(0, n));
}

struct Knobs {
  uint32_t nodes_max = 6;
  uint32_t devices_max = 3;
  uint32_t leases_max = 3;
  uint64_t troubles = 24;  // one in so many things is lost, cordoned, unhealthy, of another model
};

inline NodeFacts RandomNode(Random& random, uint64_t id, const Knobs& knobs) {
  const char* const domains[] = {"", "", "d1", "d2", "d3"};
  const char* const racks[] = {"", "r1", "r2"};
  NodeFacts node = GpuNode(id, domains[random.Between(0, 4)], racks[random.Between(0, 2)],
                           Upto(random, knobs.devices_max));
  if (OneIn(random, knobs.troubles)) {
    node.readiness = static_cast<Readiness>(random.Between(1, 3));
  }
  node.cordoned = OneIn(random, knobs.troubles);
  node.quarantined = OneIn(random, knobs.troubles);
  if (OneIn(random, 2)) node.labels["zone"] = OneIn(random, 2) ? "a" : "b";
  for (DeviceFacts& device : node.devices) {
    device.healthy = !OneIn(random, knobs.troubles);
    if (OneIn(random, knobs.troubles)) device.model = "NVIDIA H200";
    if (OneIn(random, knobs.troubles)) device.kind = v1::DEVICE_KIND_CPU;
    if (OneIn(random, 4)) device.holder = LeaseId{1 + Upto(random, knobs.leases_max)};
  }
  return node;
}

// The lease with the highest id is told of by no SetLease.
inline Facts RandomFacts(Random& random, const Knobs& knobs) {
  Facts facts;
  const uint32_t nodes = knobs.nodes_max - Upto(random, knobs.nodes_max / 2);
  for (uint64_t id = 1; id <= nodes; ++id) facts.nodes.push_back(RandomNode(random, id, knobs));
  for (uint64_t id = 1; id <= knobs.leases_max; ++id) {
    LeaseFacts lease;
    lease.id = LeaseId{id};
    lease.priority = static_cast<int32_t>(random.Between(0, 2));
    lease.preemptible = !OneIn(random, 4);
    lease.exclusive = OneIn(random, 6);
    lease.yielding = OneIn(random, 10);
    lease.started = static_cast<Nanos>(random.Between(0, 3)) * kSecond;
    if (!OneIn(random, 6)) lease.ends = static_cast<Nanos>(random.Between(0, 9)) * kSecond;
    facts.leases.push_back(lease);
  }
  return facts;
}

inline GangRequest RandomRequest(Random& random, uint32_t devices_max) {
  GangRequest request =
      Gpus(1 + Upto(random, devices_max - 1), static_cast<Within>(random.Between(0, 3)));
  request.preferred = OneIn(random, 4);
  request.exclusive = OneIn(random, 6);
  if (OneIn(random, 3)) request.per_node = 1 + Upto(random, 2);
  if (OneIn(random, 6)) request.selector.models = {"h100"};
  if (OneIn(random, 6)) request.selector.labels["zone"] = "a";
  request.selector.quarantined = OneIn(random, 60);
  for (uint64_t id = 1; id <= 6; ++id) {
    if (OneIn(random, 120)) request.selector.avoid.push_back(NodeId{id});
  }
  const bool named = OneIn(random, 40);
  for (uint64_t id = 1; id <= 6; ++id) {
    if (named && OneIn(random, 2)) request.selector.nodes.push_back("n" + std::to_string(id));
  }
  return request;
}

}  // namespace rackmark::plan
