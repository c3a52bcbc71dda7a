#include "coordinator/plan/fleet.h"

#include <string>

#include "coordinator/plan/choose.h"
#include "coordinator/plan/fleet_test_kit.h"
#include "gtest/gtest.h"

namespace rackmark::plan {
namespace {

TEST(Layout, DomainsAndRacksAreRanges) {
  // 2 and 5 are in domain a, whose racks are r2 and r1: the first by name counts for both.
  const std::vector<Address> nodes = {{NodeId{5}, "a", "r2"}, {NodeId{1}, "", "r1"},
                                      {NodeId{2}, "a", "r1"}, {NodeId{3}, "", ""},
                                      {NodeId{4}, "b", ""},   {NodeId{6}, "b", ""}};
  const Layout layout = MakeLayout(nodes);
  std::string text;
  for (const Layout::Rack& rack : layout.racks) {
    text += "rack" + std::to_string(rack.id.value) + "(";
    for (uint32_t d = rack.first; d < rack.last; ++d) {
      const Layout::Domain& domain = layout.domains[d];
      text += domain.lone ? " lone" : " domain";
      for (uint32_t i = domain.first; i < domain.last; ++i) {
        EXPECT_EQ(layout.domain[i], d);
        EXPECT_EQ(layout.ordinal[layout.order[i]], i);
        text += " " + std::to_string(nodes[layout.order[i]].id.value);
      }
    }
    text += " )";
  }
  EXPECT_EQ(text, "rack1( lone 1 domain 2 5 )rack3( lone 3 )rack4( domain 4 6 )");
}

TEST(Gang, ModelsMatchByWholeWords) {
  EXPECT_TRUE(ModelMatches("h100", "NVIDIA H100 80GB HBM3"));
  EXPECT_TRUE(ModelMatches("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"));
  EXPECT_TRUE(ModelMatches("H200", "NVIDIA H200 NVL"));
  EXPECT_TRUE(ModelMatches("H200 nvl", "NVIDIA H200 NVL"));
  EXPECT_FALSE(ModelMatches("H20", "NVIDIA H200 NVL"));
  EXPECT_FALSE(ModelMatches("100", "NVIDIA H100"));
  EXPECT_FALSE(ModelMatches("", "NVIDIA H100"));
  EXPECT_FALSE(ModelMatches("NVIDIA H100 80GB", "NVIDIA H100"));
}

TEST(Gang, EqualRequestsAreEqual) {
  EXPECT_TRUE(Gpus(4) == Gpus(4));
  EXPECT_FALSE(Gpus(4) == Gpus(4, Within::kRack));
  GangRequest request = Gpus(4);
  EXPECT_TRUE(WellFormed(request));
  request.per_node = 3;
  EXPECT_FALSE(WellFormed(request));
  request.per_node = 0;
  EXPECT_FALSE(WellFormed(request));
  EXPECT_FALSE(WellFormed(Gpus(0)));
}

TEST(Fleet, ALeaseIsFreedNodeByNode) {
  Fleet fleet;
  fleet.SetNode(GpuNode(1, "", "", 2));
  fleet.SetNode(GpuNode(2, "", "", 2));
  fleet.Hold(LeaseId{3}, {{NodeId{1}, 0}, {NodeId{1}, 1}, {NodeId{2}, 1}});
  EXPECT_FALSE(FindPlace(fleet, Gpus(2)).has_value());
  fleet.Free(LeaseId{3}, NodeId{1});
  EXPECT_TRUE(FindPlace(fleet, Gpus(2)).has_value());
  EXPECT_FALSE(FindPlace(fleet, Gpus(4)).has_value());
  fleet.Free(LeaseId{3}, NodeId{2});
  EXPECT_TRUE(FindPlace(fleet, Gpus(4)).has_value());
  EXPECT_FALSE(fleet.FindLease(LeaseId{3}).has_value());  // nobody told of it, so nothing is left
}

TEST(Fleet, EndsAreInOrderAndGoWithTheirLease) {
  Fleet fleet;
  const auto lease = [](uint64_t id, std::optional<Nanos> ends) {
    LeaseFacts facts;
    facts.id = LeaseId{id};
    facts.ends = ends;
    return facts;
  };
  fleet.SetLease(lease(1, 30));
  fleet.SetLease(lease(2, 10));
  fleet.SetLease(lease(3, std::nullopt));
  fleet.SetLease(lease(4, 20));
  fleet.SetLease(lease(1, 5));
  fleet.Free(LeaseId{4});
  ASSERT_EQ(fleet.ends().size(), 2u);
  EXPECT_EQ(fleet.ends()[0].first, 5);
  EXPECT_EQ(fleet.ends()[1].first, 10);
  fleet.SetLease(lease(2, std::nullopt));
  EXPECT_EQ(fleet.ends().size(), 1u);
}

TEST(Fleet, SaysWhatANodesFactsHaveChanged) {
  Fleet fleet;
  NodeFacts node = GpuNode(1, "", "", 2);
  EXPECT_EQ(fleet.SetNode(node), NodeChange::kFacts);
  const uint64_t version = fleet.facts_version();
  EXPECT_EQ(fleet.SetNode(node), NodeChange::kNothing);
  node.devices[1].holder = LeaseId{4};
  EXPECT_EQ(fleet.SetNode(node), NodeChange::kHolders);
  EXPECT_EQ(fleet.SetNode(node), NodeChange::kNothing);
  EXPECT_EQ(fleet.facts_version(), version);
  node.devices[0].healthy = false;
  EXPECT_EQ(fleet.SetNode(node), NodeChange::kFacts);
  EXPECT_GT(fleet.facts_version(), version);
  node.cordoned = true;
  EXPECT_EQ(fleet.SetNode(node), NodeChange::kFacts);
  node.readiness = Readiness::kSilent;
  EXPECT_EQ(fleet.SetNode(node), NodeChange::kFacts);
  node.quarantined = true;
  EXPECT_EQ(fleet.SetNode(node), NodeChange::kFacts);
  node.rack = "r1";
  EXPECT_EQ(fleet.SetNode(node), NodeChange::kFacts);
  EXPECT_EQ(fleet.SetNode(node), NodeChange::kNothing);
}

Fleet Row(uint64_t nodes) {
  Fleet fleet;
  for (uint64_t id = 1; id <= nodes; ++id) fleet.SetNode(GpuNode(id, "", "", 1));
  return fleet;
}

// Who holds what means nothing to a pool that supposes that all leases are over.
TEST(Fleet, HoldersReachOnlyThePoolsThatCountThem) {
  Fleet fleet = Row(9);
  const Selector selector = Gpus(1).selector;
  for (const Assume assume : {Assume::kNow, Assume::kFreed, Assume::kIdeal}) {
    EXPECT_EQ(fleet.PoolOf(selector, assume).total, 9u);
  }
  const uint64_t before = fleet.work().refreshed;
  for (uint64_t id = 1; id <= 5; ++id) fleet.Hold(LeaseId{id}, {{NodeId{id}, 0}});
  EXPECT_EQ(fleet.PoolOf(selector, Assume::kFreed).total, 9u);
  EXPECT_EQ(fleet.PoolOf(selector, Assume::kIdeal).total, 9u);
  EXPECT_EQ(fleet.work().refreshed, before);
  EXPECT_EQ(fleet.PoolOf(selector, Assume::kNow).total, 4u);
  EXPECT_EQ(fleet.work().refreshed, before + 5);
}

// Each of many jobs that lost a node asks for all but that one: more of them than are remembered.
TEST(Fleet, WhatIsAvoidedIsNotCountedFromAllNodes) {
  Fleet fleet = Row(300);
  for (int lap = 0; lap < 2; ++lap) {
    for (uint64_t id = 1; id <= 300; ++id) {
      GangRequest request = Gpus(300);
      request.selector.avoid = {NodeId{id}};
      EXPECT_FALSE(CouldFit(fleet, request, Assume::kFreed));
      request.devices = 299;
      EXPECT_TRUE(CouldFit(fleet, request, Assume::kFreed));
    }
  }
  EXPECT_EQ(fleet.work().counted, 300u);
  // It stays avoided when something is told of it.
  GangRequest request = Gpus(1);
  request.selector.avoid = {NodeId{1}};
  EXPECT_EQ(FindPlace(fleet, request)->seats.front().node.value, 2u);
  fleet.Hold(LeaseId{1}, {{NodeId{1}, 0}});
  fleet.Free(LeaseId{1});
  EXPECT_EQ(FindPlace(fleet, request)->seats.front().node.value, 2u);
}

TEST(Fleet, NodesThatAreNamedAreFoundByTheirNames) {
  const Fleet fleet = Row(300);
  GangRequest request = Gpus(1);
  request.selector.nodes = {"n17", "nobody"};
  EXPECT_EQ(FindPlace(fleet, request)->seats.front().node.value, 17u);
  EXPECT_EQ(fleet.work().counted, 1u);
}

// One thing happens to both.
void Change(Random& random, Facts& facts, Fleet& fleet) {
  const size_t n = random.Between(0, facts.nodes.size() - 1);
  NodeFacts& node = facts.nodes[n];
  const LeaseId id{random.Between(1, 3)};
  switch (random.Between(0, 6)) {
    case 0:
      node = RandomNode(random, node.id.value, {});
      fleet.SetNode(node);
      return;
    case 1:
      node.cordoned = !node.cordoned;
      node.readiness = static_cast<Readiness>(random.Between(0, 3));
      fleet.SetNode(node);
      return;
    case 2: {
      std::vector<Seat> seats;
      for (DeviceFacts& device : node.devices) {
        if (!device.holder.IsNone() || OneIn(random, 2)) continue;
        device.holder = id;
        seats.push_back({node.id, device.index});
      }
      fleet.Hold(id, seats);
      return;
    }
    case 3:
      for (DeviceFacts& device : node.devices) {
        if (device.holder == id) device.holder = LeaseId{};
      }
      fleet.Free(id, node.id);
      return;
    case 4:
      facts = facts.Without(id);
      fleet.Free(id);
      return;
    case 5: {
      LeaseFacts lease;
      lease.id = id;
      lease.exclusive = OneIn(random, 2);
      std::erase_if(facts.leases, [&](const LeaseFacts& known) { return known.id == id; });
      facts.leases.push_back(lease);
      fleet.SetLease(lease);
      return;
    }
    default:
      if (facts.nodes.size() > 2 && OneIn(random, 4)) {
        fleet.DropNode(node.id);
        facts.nodes.erase(facts.nodes.begin() + static_cast<std::ptrdiff_t>(n));
      }
      return;
  }
}

// What is kept up change by change is what is counted anew, and so is every answer.
TEST(Fleet, ChangesGiveWhatTheFactsGive) {
  Random random(11, 2);
  int placed = 0;
  for (int round = 0; round < 300; ++round) {
    Facts facts = RandomFacts(random, {});
    Fleet fleet = facts.Make();
    for (int step = 0; step < 60; ++step) {
      Change(random, facts, fleet);
      const GangRequest request = RandomRequest(random, 6);
      const Fleet fresh = facts.Make();
      for (const Assume assume : {Assume::kNow, Assume::kFreed, Assume::kIdeal}) {
        const Pool& kept = fleet.PoolOf(request.selector, assume);
        const Pool& counted = fresh.PoolOf(request.selector, assume);
        ASSERT_EQ(kept.ids, counted.ids);
        ASSERT_EQ(kept.free, counted.free);
        ASSERT_EQ(kept.total, counted.total);
        for (size_t f = 0; f < std::max(kept.by_free.size(), counted.by_free.size()); ++f) {
          ASSERT_EQ(f < kept.by_free.size() ? kept.by_free[f] : 0,
                    f < counted.by_free.size() ? counted.by_free[f] : 0);
        }
        for (size_t d = 0; d < kept.domains.size(); ++d) {
          ASSERT_EQ(kept.domains[d].free, counted.domains[d].free);
          ASSERT_EQ(kept.domains[d].held, counted.domains[d].held);
          ASSERT_EQ(kept.domains[d].exclusive, counted.domains[d].exclusive);
        }
        for (size_t r = 0; r < kept.racks.size(); ++r) {
          ASSERT_EQ(kept.racks[r].free, counted.racks[r].free);
        }
      }
      const auto one = FindPlace(fleet, request);
      const auto other = FindPlace(fresh, request);
      ASSERT_EQ(one.has_value(), other.has_value());
      if (one.has_value()) {
        ASSERT_TRUE(one->seats == other->seats);
      }
      placed += one.has_value() ? 1 : 0;
    }
  }
  EXPECT_GT(placed, 1000);
}

// More selectors than are remembered, and more changes than are remembered.
TEST(Fleet, ForgetsAndStillKnows) {
  Facts facts;
  for (uint64_t id = 1; id <= 600; ++id) {
    facts.nodes.push_back(GpuNode(id, "", "", 1));
    facts.nodes.back().labels["host"] = std::to_string(id);
  }
  Fleet fleet = facts.Make();
  EXPECT_EQ(FindPlace(fleet, Gpus(600))->seats.size(), 600u);
  for (int lap = 0; lap < 2; ++lap) {
    for (uint64_t id = 1; id <= 600; ++id) {
      GangRequest request = Gpus(1);
      request.selector.labels["host"] = std::to_string(id);
      ASSERT_EQ(FindPlace(fleet, request)->seats.front().node.value, id);
    }
  }
  const Selector selector = Gpus(1).selector;
  for (int i = 0; i < 35000; ++i) {
    fleet.Hold(LeaseId{1}, {{NodeId{7}, 0}});
    if (i == 0) {
      EXPECT_EQ(fleet.PoolOf(selector, Assume::kNow).total, 599u);
    }
    fleet.Free(LeaseId{1});
  }
  EXPECT_EQ(fleet.PoolOf(selector, Assume::kNow).total, 600u);
}

}  // namespace
}  // namespace rackmark::plan
