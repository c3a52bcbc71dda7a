#include "coordinator/plan/choose.h"

#include <string>

#include "coordinator/plan/fleet_test_kit.h"
#include "coordinator/plan/oracle_test.h"
#include "gtest/gtest.h"

namespace rackmark::plan {
namespace {

// "1 1 2": the node of each rank; "-" for no place.
std::string Nodes(const Fleet& fleet, const GangRequest& request) {
  const auto place = FindPlace(fleet, request);
  if (!place.has_value()) return "-";
  std::string text;
  for (const Seat& seat : place->seats) {
    text += (text.empty() ? "" : " ") + std::to_string(seat.node.value);
  }
  return text;
}

// Two NVL domains of three trays of four in rack r1, one in r2, and two HGX nodes by themselves.
Facts House() {
  Facts facts;
  uint64_t id = 1;
  for (const char* domain : {"a", "b", "c"}) {
    for (int tray = 0; tray < 3; ++tray) {
      facts.nodes.push_back(GpuNode(id++, domain, domain[0] == 'c' ? "r2" : "r1", 4));
    }
  }
  facts.nodes.push_back(GpuNode(10, "", "r2", 8));
  facts.nodes.push_back(GpuNode(11, "", "r2", 8));
  return facts;
}

// Somebody holds the first n devices of a node.
void Take(Facts& facts, uint64_t node, uint32_t devices, uint64_t lease = 7) {
  for (uint32_t i = 0; i < devices; ++i) facts.nodes[node - 1].devices[i].holder = LeaseId{lease};
}

TEST(Choose, SmallestIslandFirstThenTheFullestThenTheLowestId) {
  Facts facts = House();
  EXPECT_EQ(Nodes(facts.Make(), Gpus(2)), "1 1");
  EXPECT_EQ(Nodes(facts.Make(), Gpus(6)), "10 10 10 10 10 10");  // a node before a domain
  EXPECT_EQ(Nodes(facts.Make(), Gpus(9)), "1 1 1 1 2 2 2 2 3");  // a domain before nodes
  Take(facts, 5, 2);                                             // domain b has less to give
  EXPECT_EQ(Nodes(facts.Make(), Gpus(2)), "5 5");
  EXPECT_EQ(Nodes(facts.Make(), Gpus(9)), "4 4 4 4 5 6 6 6 6");
  EXPECT_EQ(FindPlace(facts.Make(), Gpus(9))->level, Within::kDomain);
}

TEST(Choose, AGangOverDomainsTakesEqualShares) {
  Facts facts = House();
  const auto place = FindPlace(facts.Make(), Gpus(20));
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->level, Within::kRack);  // a and b are in one rack
  EXPECT_EQ(place->domains, 2u);
  EXPECT_EQ(Nodes(facts.Make(), Gpus(20)), "1 1 1 1 2 2 2 2 3 3 4 4 4 4 5 5 5 5 6 6");
  EXPECT_EQ(FindPlace(facts.Make(), Gpus(36))->domains, 3u);
  EXPECT_EQ(Nodes(facts.Make(), Gpus(19)), "-");  // 19 has no equal shares, and no island has it
}

// 14 + 18 devices are free, and 32 are wanted.
TEST(Choose, Never14And18) {
  Facts facts;
  for (uint64_t id = 1; id <= 18; ++id)
    facts.nodes.push_back(GpuNode(id, id <= 9 ? "a" : "b", "r", 2));
  Take(facts, 1, 2);
  Take(facts, 2, 2);
  EXPECT_EQ(facts.Make().PoolOf(Gpus(32).selector, Assume::kNow).total, 32u);
  EXPECT_EQ(Nodes(facts.Make(), Gpus(32)), "-");
  facts = facts.Without(LeaseId{7});
  Take(facts, 1, 2);  // 16 + 18
  const auto place = FindPlace(facts.Make(), Gpus(32));
  ASSERT_TRUE(place.has_value());
  uint32_t in_a = 0;
  for (const Seat& seat : place->seats) in_a += seat.node.value <= 9 ? 1u : 0u;
  EXPECT_EQ(in_a, 16u);
}

TEST(Choose, RequiredIsALimitPreferredIsNone) {
  const Facts facts = House();
  GangRequest request = Gpus(20, Within::kDomain);
  EXPECT_EQ(Nodes(facts.Make(), request), "-");
  request.preferred = true;
  const auto place = FindPlace(facts.Make(), request);
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->level, Within::kRack);
  EXPECT_FALSE(place->preference_met);
  request.devices = 12;
  EXPECT_TRUE(FindPlace(facts.Make(), request)->preference_met);
  EXPECT_EQ(Nodes(facts.Make(), Gpus(9, Within::kNode)), "-");
  EXPECT_EQ(Nodes(facts.Make(), Gpus(36, Within::kRack)), "-");
}

TEST(Choose, PerNodeIsExact) {
  Facts facts = House();
  GangRequest request = Gpus(6);
  request.per_node = 2;
  EXPECT_EQ(Nodes(facts.Make(), request), "1 1 2 2 3 3");
  Take(facts, 1, 3);
  EXPECT_EQ(Nodes(facts.Make(), request), "4 4 5 5 6 6");  // a has two such nodes only
  request.devices = 5;
  EXPECT_EQ(Nodes(facts.Make(), request), "-");
  request = Gpus(16);
  request.per_node = 8;
  EXPECT_EQ(Nodes(facts.Make(), request), "10 10 10 10 10 10 10 10 11 11 11 11 11 11 11 11");
}

TEST(Choose, ExclusiveTakesADomainThatNobodyIsIn) {
  Facts facts = House();
  Take(facts, 1, 1);
  GangRequest request = Gpus(12);
  request.exclusive = true;
  EXPECT_EQ(FindPlace(facts.Make(), request)->seats.front().node.value, 4u);
  request.devices = 4;
  EXPECT_EQ(Nodes(facts.Make(), request),
            "10 10 10 10");  // 8 are taken along, in a tray it were 12
}

TEST(Choose, AnExclusiveLeaseKeepsOthersOutOfItsDomain) {
  Facts facts = House();
  Take(facts, 4, 1, 3);
  EXPECT_EQ(Nodes(facts.Make(), Gpus(3)), "4 4 4");
  facts.leases.push_back({LeaseId{3}, 0, false, false, true, 0, std::nullopt});
  Fleet fleet = facts.Make();
  EXPECT_EQ(Nodes(fleet, Gpus(3)), "1 1 1");
  EXPECT_EQ(fleet.PoolOf(Gpus(1).selector, Assume::kNow).total, 52u - 12u);
  fleet.Free(LeaseId{3});
  EXPECT_EQ(fleet.PoolOf(Gpus(1).selector, Assume::kNow).total, 52u);
}

TEST(Choose, SelectsByModelAndLabels) {
  Facts facts = House();
  facts.nodes[9].devices[0].model = "NVIDIA H200 NVL";
  facts.nodes[4].labels = {{"zone", "b"}, {"tier", "1"}};
  GangRequest request = Gpus(1);
  request.selector.models = {"gb300", "h200"};
  EXPECT_EQ(Nodes(facts.Make(), request), "10");
  request.selector.labels["zone"] = "b";
  EXPECT_EQ(Nodes(facts.Make(), request), "-");
  request.selector.models.clear();
  EXPECT_EQ(Nodes(facts.Make(), request), "5");
  request.selector.labels["tier"] = "2";
  EXPECT_EQ(Nodes(facts.Make(), request), "-");
}

TEST(Choose, NeverOnWhatIsExcluded) {
  Facts facts;
  for (uint64_t id = 1; id <= 6; ++id) facts.nodes.push_back(GpuNode(id, "", "", 1));
  facts.nodes[0].cordoned = true;
  facts.nodes[1].quarantined = true;
  facts.nodes[2].readiness = Readiness::kSilent;
  facts.nodes[3].devices[0].healthy = false;
  facts.nodes[4].devices[0].kind = v1::DEVICE_KIND_CPU;
  EXPECT_EQ(Nodes(facts.Make(), Gpus(1)), "6");
  EXPECT_EQ(Nodes(facts.Make(), Gpus(2)), "-");
  EXPECT_FALSE(CouldFit(facts.Make(), Gpus(2), Assume::kFreed));
  EXPECT_TRUE(CouldFit(facts.Make(), Gpus(5), Assume::kIdeal));
  EXPECT_FALSE(CouldFit(facts.Make(), Gpus(6), Assume::kIdeal));
}

TEST(Choose, PlacementNamesRankNodeAndDevice) {
  Facts facts = House();
  Take(facts, 5, 1);
  const Fleet fleet = facts.Make();
  const v1::Placement placement = ToPlacement(fleet, FindPlace(fleet, Gpus(3))->seats);
  ASSERT_EQ(placement.ranks_size(), 3);
  EXPECT_EQ(placement.ranks(2).rank(), 2u);
  EXPECT_EQ(placement.ranks(2).node_id(), 5u);
  EXPECT_EQ(placement.ranks(2).node(), "n5");
  EXPECT_EQ(placement.ranks(2).device(), 3u);
}

// The device exists and may be had; no device twice; ranks in order. Gives the nodes' counts.
Oracle::Counts CheckSeats(const Facts& facts, const GangRequest& request, const GangPlace& place) {
  EXPECT_EQ(place.seats.size(), request.devices);
  Oracle::Counts counts(facts.nodes.size());
  std::set<Seat> used;
  for (const Seat& seat : place.seats) {
    EXPECT_TRUE(used.insert(seat).second);
    const NodeFacts& node = facts.nodes[seat.node.value - 1];
    const DeviceFacts& device = node.devices[seat.device];
    EXPECT_TRUE(device.healthy && device.holder.IsNone() && device.kind == request.selector.kind);
    EXPECT_TRUE(node.readiness == Readiness::kReady && !node.cordoned);
    EXPECT_EQ(node.quarantined, request.selector.quarantined);
    ++counts[seat.node.value - 1];
  }
  return counts;
}

TEST(Choose, AgreesWithEveryWayToPlaceIt) {
  Random random(20261121, 1);
  std::map<Within, int> placed;
  int none = 0;
  int spans = 0;
  for (int round = 0; round < 40000; ++round) {
    const Facts facts = RandomFacts(random, {});
    const GangRequest request = RandomRequest(random, 10);
    Oracle oracle(facts, request);
    const Fleet fleet = facts.Make();
    const auto place = FindPlace(fleet, request);
    const auto best = oracle.Best();
    ASSERT_EQ(place.has_value(), best.has_value()) << round;
    if (!place.has_value()) {
      ++none;
      continue;
    }
    const auto key = oracle.KeyOf(CheckSeats(facts, request, *place));
    ASSERT_TRUE(key.has_value()) << round;
    EXPECT_TRUE(*key == *best) << round;
    EXPECT_EQ(place->level, best->level) << round;
    EXPECT_EQ(place->preference_met, place->level <= request.within) << round;
    ++placed[place->level];
    spans += best->domains > 1 ? 1 : 0;
    ASSERT_FALSE(HasFailure()) << round;
  }
  // The fleets are such that all of it happens.
  EXPECT_GT(none, 2000);
  EXPECT_GT(spans, 200);
  for (const Within level : {Within::kNode, Within::kDomain, Within::kRack, Within::kCluster}) {
    EXPECT_GT(placed[level], 100) << static_cast<int>(level);
  }
}

}  // namespace
}  // namespace rackmark::plan
