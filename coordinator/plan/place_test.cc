#include "coordinator/plan/place.h"

#include <algorithm>
#include <optional>
#include <set>

#include "common/random.h"
#include "gtest/gtest.h"

namespace rackmark::plan {
namespace {

Node MakeNode(uint64_t id, uint32_t devices, v1::DeviceKind kind = v1::DEVICE_KIND_GPU) {
  Node node{NodeId{id}, "n" + std::to_string(id), Readiness::kReady, {}};
  for (uint32_t i = 0; i < devices; ++i) node.slots.push_back({i, kind, true, LeaseId{}});
  return node;
}

v1::Gang MakeGang(uint32_t devices, std::optional<uint32_t> per_node = std::nullopt) {
  v1::Gang gang;
  gang.set_devices(devices);
  if (per_node.has_value()) gang.set_per_node(*per_node);
  gang.set_kind(v1::DEVICE_KIND_GPU);
  return gang;
}

std::vector<uint64_t> NodeIds(const v1::Placement& placement) {
  std::vector<uint64_t> ids;
  for (const v1::RankPlace& place : placement.ranks()) ids.push_back(place.node_id());
  return ids;
}

std::vector<uint64_t> PlacedOn(const Inventory& inventory, const v1::Gang& gang) {
  const auto answer = Place(inventory, gang);
  const auto* placement = std::get_if<v1::Placement>(&answer);
  return placement == nullptr ? std::vector<uint64_t>{} : NodeIds(*placement);
}

TEST(Place, PrefersTheOneNodeThatItFillsBest) {
  const Inventory inventory = {MakeNode(1, 8), MakeNode(2, 4), MakeNode(3, 4), MakeNode(4, 2)};
  EXPECT_EQ(PlacedOn(inventory, MakeGang(4)), (std::vector<uint64_t>{2, 2, 2, 2}));
  EXPECT_EQ(PlacedOn(inventory, MakeGang(3)), (std::vector<uint64_t>{2, 2, 2}));
  EXPECT_EQ(PlacedOn(inventory, MakeGang(1)), (std::vector<uint64_t>{4}));
}

TEST(Place, SpreadsOverTheFewestNodes) {
  const Inventory inventory = {MakeNode(1, 2), MakeNode(2, 4), MakeNode(3, 4), MakeNode(4, 1)};
  EXPECT_EQ(PlacedOn(inventory, MakeGang(5)), (std::vector<uint64_t>{2, 2, 2, 2, 4}));
  EXPECT_EQ(PlacedOn(inventory, MakeGang(8)), (std::vector<uint64_t>{2, 2, 2, 2, 3, 3, 3, 3}));
}

TEST(Place, PerNodeIsExact) {
  const Inventory inventory = {MakeNode(1, 4), MakeNode(2, 2), MakeNode(3, 1)};
  EXPECT_EQ(PlacedOn(inventory, MakeGang(4, 2)), (std::vector<uint64_t>{1, 1, 2, 2}));
  EXPECT_EQ(PlacedOn(inventory, MakeGang(2, 1)), (std::vector<uint64_t>{2, 3}));
  EXPECT_TRUE(PlacedOn(inventory, MakeGang(6, 2)).empty());
  EXPECT_TRUE(PlacedOn(inventory, MakeGang(3, 2)).empty());
}

TEST(Place, CountsWhyNot) {
  Inventory inventory = {MakeNode(1, 4), MakeNode(2, 4), MakeNode(3, 4), MakeNode(4, 4)};
  inventory[0].slots[0].holder = LeaseId{7};
  inventory[0].slots[1].holder = LeaseId{7};
  inventory[0].slots[2].healthy = false;
  inventory[1].readiness = Readiness::kLost;
  inventory[2].readiness = Readiness::kSilent;
  inventory[3].readiness = Readiness::kUnreported;
  inventory[0].slots.push_back({4, v1::DEVICE_KIND_CPU, true, LeaseId{}});
  const auto answer = Place(inventory, MakeGang(2));
  const Shortage& shortage = std::get<Shortage>(answer);
  EXPECT_EQ(shortage.free, 1u);
  EXPECT_EQ(shortage.known, 16u);
  EXPECT_EQ(shortage.unhealthy, 1u);
  EXPECT_EQ(shortage.held.at(LeaseId{7}), 2u);
  EXPECT_EQ(shortage.nodes_lost, 1u);
  EXPECT_EQ(shortage.nodes_silent, 1u);
  EXPECT_EQ(shortage.nodes_unreported, 1u);
  EXPECT_FALSE(shortage.impossible);
  EXPECT_TRUE(shortage.fits_when_freed);
  EXPECT_FALSE(std::get<Shortage>(Place(inventory, MakeGang(4))).fits_when_freed);
  EXPECT_TRUE(std::get<Shortage>(Place(inventory, MakeGang(17))).impossible);
}

// The dumb way: every set of nodes. The least number of nodes that can hold the gang.
std::optional<size_t> FewestNodes(const Inventory& inventory, const v1::Gang& gang) {
  std::optional<size_t> fewest;
  for (uint32_t set = 1; set < (1u << inventory.size()); ++set) {
    uint32_t room = 0;
    size_t nodes = 0;
    bool even = true;
    for (size_t i = 0; i < inventory.size(); ++i) {
      if ((set >> i & 1u) == 0) continue;
      ++nodes;
      uint32_t free = 0;
      for (const Slot& slot : inventory[i].slots) {
        free += slot.kind == gang.kind() && slot.healthy && slot.holder.IsNone() ? 1u : 0u;
      }
      if (inventory[i].readiness != Readiness::kReady) free = 0;
      if (gang.has_per_node() && free < gang.per_node()) even = false;
      room += free;
    }
    const bool fits = gang.has_per_node() ? even && nodes * gang.per_node() == gang.devices()
                                          : room >= gang.devices();
    if (fits && (!fewest.has_value() || nodes < *fewest)) fewest = nodes;
  }
  return fewest;
}

Inventory RandomInventory(Random& random) {
  Inventory inventory;
  const uint64_t nodes = 1 + random.Between(0, 5);
  for (uint64_t id = 1; id <= nodes; ++id) {
    Node node = MakeNode(id, static_cast<uint32_t>(random.Between(0, 4)));
    if (random.Between(0, 5) == 0) node.readiness = Readiness::kSilent;
    for (Slot& slot : node.slots) {
      if (random.Between(0, 4) == 0) slot.holder = LeaseId{1 + random.Between(0, 2)};
      if (random.Between(0, 7) == 0) slot.healthy = false;
      if (random.Between(0, 7) == 0) slot.kind = v1::DEVICE_KIND_CPU;
    }
    inventory.push_back(node);
  }
  return inventory;
}

void ExpectSound(const Inventory& inventory, const v1::Gang& gang, const v1::Placement& placement) {
  ASSERT_EQ(placement.ranks_size(), static_cast<int>(gang.devices()));
  std::map<uint64_t, uint32_t> per_node;
  std::set<std::pair<uint64_t, uint32_t>> used;
  for (int i = 0; i < placement.ranks_size(); ++i) {
    const v1::RankPlace& place = placement.ranks(i);
    EXPECT_EQ(place.rank(), static_cast<uint32_t>(i));
    EXPECT_TRUE(used.emplace(place.node_id(), place.device()).second);
    if (i > 0) {
      EXPECT_LE(placement.ranks(i - 1).node_id(), place.node_id());
    }
    ++per_node[place.node_id()];
    const Node& node = inventory[place.node_id() - 1];
    EXPECT_EQ(node.readiness, Readiness::kReady);
    const Slot& slot = node.slots[place.device()];
    EXPECT_TRUE(slot.healthy && slot.holder.IsNone() && slot.kind == gang.kind());
  }
  for (const auto& [node, count] : per_node) {
    if (gang.has_per_node()) {
      EXPECT_EQ(count, gang.per_node());
    }
  }
}

TEST(Place, AgreesWithEverySetOfNodes) {
  Random random(20260101, 0);
  int placed = 0;
  for (int i = 0; i < 20000; ++i) {
    const Inventory inventory = RandomInventory(random);
    v1::Gang gang = MakeGang(static_cast<uint32_t>(1 + random.Between(0, 9)));
    if (random.Between(0, 2) == 0)
      gang.set_per_node(static_cast<uint32_t>(1 + random.Between(0, 3)));
    const std::optional<size_t> fewest = FewestNodes(inventory, gang);
    const auto answer = Place(inventory, gang);
    ASSERT_EQ(std::holds_alternative<v1::Placement>(answer), fewest.has_value()) << i;
    if (!fewest.has_value()) continue;
    ++placed;
    const v1::Placement& placement = std::get<v1::Placement>(answer);
    ExpectSound(inventory, gang, placement);
    const std::vector<uint64_t> ids = NodeIds(placement);
    EXPECT_EQ(std::set<uint64_t>(ids.begin(), ids.end()).size(), *fewest) << i;
    EXPECT_TRUE(CanEverFit(inventory, gang));
  }
  EXPECT_GT(placed, 5000);
  EXPECT_LT(placed, 19000);
}

}  // namespace
}  // namespace rackmark::plan
