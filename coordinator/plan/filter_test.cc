#include "coordinator/plan/filter.h"

#include <string>

#include "common/random.h"
#include "gtest/gtest.h"

namespace rackmark::plan {
namespace {

Node MakeNode(uint64_t id, uint32_t devices) {
  Node node{NodeId{id}, "n" + std::to_string(id), Readiness::kReady, {}};
  for (uint32_t i = 0; i < devices; ++i) {
    node.slots.push_back({i, v1::DEVICE_KIND_GPU, true, LeaseId{}});
  }
  return node;
}

v1::Gang MakeGang(uint32_t devices, std::optional<uint32_t> per_node = std::nullopt) {
  v1::Gang gang;
  gang.set_devices(devices);
  if (per_node.has_value()) gang.set_per_node(*per_node);
  gang.set_kind(v1::DEVICE_KIND_GPU);
  return gang;
}

TEST(Filter, TheFirstConstraintThatRefusesCounts) {
  Inventory inventory = {MakeNode(1, 4), MakeNode(2, 4), MakeNode(3, 2), MakeNode(4, 2)};
  inventory[0].slots[0].kind = v1::DEVICE_KIND_CPU;
  inventory[0].slots[0].healthy = false;  // counted by its kind
  inventory[0].slots[1].healthy = false;
  inventory[0].slots[1].holder = LeaseId{9};  // counted as unhealthy
  inventory[0].slots[2].holder = LeaseId{7};
  inventory[1].slots[0].holder = LeaseId{7};
  inventory[1].slots[1].holder = LeaseId{8};
  inventory[2].readiness = Readiness::kLost;
  inventory[2].slots[0].healthy = false;  // counted as lost
  inventory[3].readiness = Readiness::kUnreported;
  const Filtering answer = Filter(inventory, MakeGang(4, 2));
  struct Expected {
    Constraint constraint;
    uint64_t holder;
    uint32_t devices;
    std::vector<NodeId> nodes;
  };
  const Expected expected[] = {
      {Constraint::kKind, 0, 1, {NodeId{1}}},
      {Constraint::kLost, 0, 2, {NodeId{3}}},
      {Constraint::kUnreported, 0, 2, {NodeId{4}}},
      {Constraint::kUnhealthy, 0, 1, {NodeId{1}}},
      {Constraint::kHeld, 7, 2, {NodeId{1}, NodeId{2}}},
      {Constraint::kHeld, 8, 1, {NodeId{2}}},
      {Constraint::kPerNode, 0, 1, {NodeId{1}}},  // node 1 has one left where two are wanted
  };
  ASSERT_EQ(answer.filtered.size(), std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(answer.filtered[i].constraint, expected[i].constraint) << i;
    EXPECT_EQ(answer.filtered[i].holder.value, expected[i].holder) << i;
    EXPECT_EQ(answer.filtered[i].devices, expected[i].devices) << i;
    EXPECT_EQ(answer.filtered[i].nodes, expected[i].nodes) << i;
  }
  EXPECT_EQ(answer.total, 12u);
  EXPECT_EQ(answer.left, 2u);
}

TEST(Filter, NothingKnownNothingLeft) {
  const Filtering answer = Filter({}, MakeGang(1));
  EXPECT_EQ(answer.total, 0u);
  EXPECT_EQ(answer.left, 0u);
  EXPECT_TRUE(answer.filtered.empty());
}

Inventory RandomInventory(Random& random) {
  Inventory inventory;
  const uint64_t nodes = random.Between(0, 4);
  for (uint64_t n = 1; n <= nodes; ++n) {
    Node node = MakeNode(n, static_cast<uint32_t>(random.Between(0, 4)));
    node.readiness = static_cast<Readiness>(random.Between(0, 7) < 5 ? 0 : random.Between(0, 3));
    for (Slot& slot : node.slots) {
      if (random.Between(0, 4) == 0) slot.kind = v1::DEVICE_KIND_CPU;
      slot.healthy = random.Between(0, 5) != 0;
      if (random.Between(0, 3) == 0) slot.holder = LeaseId{random.Between(1, 3)};
    }
    inventory.push_back(std::move(node));
  }
  return inventory;
}

TEST(Filter, AgreesWithPlace) {
  Random random(7, 1);
  for (int round = 0; round < 20000; ++round) {
    const Inventory inventory = RandomInventory(random);
    const uint32_t per_node = static_cast<uint32_t>(random.Between(0, 2));
    const uint32_t nodes = static_cast<uint32_t>(random.Between(1, 3));
    const v1::Gang gang = per_node == 0 ? MakeGang(static_cast<uint32_t>(random.Between(1, 8)))
                                        : MakeGang(per_node * nodes, per_node);
    const Filtering answer = Filter(inventory, gang);
    uint32_t sum = answer.left;
    for (const Filtered& entry : answer.filtered) {
      EXPECT_GT(entry.devices, 0u);
      EXPECT_FALSE(entry.nodes.empty());
      sum += entry.devices;
    }
    EXPECT_EQ(sum, answer.total);
    // A gang without per_node is placed exactly if enough is left; with it, each node that is left
    // has room for its share, but there may be too few of them.
    const bool placed = std::holds_alternative<v1::Placement>(Place(inventory, gang));
    if (per_node == 0) {
      EXPECT_EQ(placed, answer.left >= gang.devices());
    } else if (placed) {
      EXPECT_GE(answer.left, gang.devices());
    } else if (const auto shortage = std::get<Shortage>(Place(inventory, gang));
               shortage.nodes_with_per_node == 0) {
      EXPECT_EQ(answer.left, 0u);
    }
  }
}

}  // namespace
}  // namespace rackmark::plan
