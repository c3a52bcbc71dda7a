#include "coordinator/plan/refusals.h"

#include <set>

#include "coordinator/plan/fleet_test_kit.h"
#include "gtest/gtest.h"

namespace rackmark::plan {
namespace {

TEST(Explain, TheFirstReasonThatRefusesCounts) {
  Facts facts;
  for (uint64_t id = 1; id <= 12; ++id) facts.nodes.push_back(GpuNode(id, "", "", 2));
  facts.nodes[0].devices[0].kind = v1::DEVICE_KIND_CPU;
  facts.nodes[0].devices[1].model = "NVIDIA A100";
  facts.nodes[1].labels["zone"] = "b";  // all others have zone a
  facts.nodes[1].cordoned = true;       // counted by its label
  facts.nodes[2].readiness = Readiness::kLost;
  facts.nodes[3].readiness = Readiness::kSilent;
  facts.nodes[4].readiness = Readiness::kUnreported;
  facts.nodes[5].cordoned = facts.nodes[5].quarantined = true;
  facts.nodes[6].quarantined = true;
  facts.nodes[7].devices[0].healthy = false;  // the other one is too few for its node
  facts.nodes[8].devices[0].holder = facts.nodes[8].devices[1].holder = LeaseId{7};
  facts.nodes[9].devices[0].holder = LeaseId{9};
  facts.leases.push_back({LeaseId{9}, 0, false, false, true, 0, std::nullopt});  // exclusive
  for (NodeFacts& node : facts.nodes) node.labels.emplace("zone", "a");
  GangRequest request = Gpus(6);
  request.per_node = 2;
  request.selector.models = {"H100"};
  request.selector.labels["zone"] = "a";
  const Refusals answer = Explain(facts.Make(), request);
  struct Expected {
    Reason reason;
    uint64_t holder;
    uint32_t devices;
    std::vector<NodeId> nodes;
  };
  const Expected expected[] = {
      {Reason::kKind, 0, 1, {NodeId{1}}},
      {Reason::kModel, 0, 1, {NodeId{1}}},
      {Reason::kLabel, 0, 2, {NodeId{2}}},
      {Reason::kLost, 0, 2, {NodeId{3}}},
      {Reason::kSilent, 0, 2, {NodeId{4}}},
      {Reason::kUnreported, 0, 2, {NodeId{5}}},
      {Reason::kCordoned, 0, 2, {NodeId{6}}},
      {Reason::kQuarantined, 0, 2, {NodeId{7}}},
      {Reason::kUnhealthy, 0, 1, {NodeId{8}}},
      {Reason::kHeld, 7, 2, {NodeId{9}}},
      {Reason::kHeld, 9, 1, {NodeId{10}}},
      {Reason::kExclusive, 9, 1, {NodeId{10}}},
      {Reason::kPerNode, 0, 1, {NodeId{8}}},
      {Reason::kIsland, 0, 4, {NodeId{11}, NodeId{12}}},  // 4 are left where 6 are wanted
  };
  ASSERT_EQ(answer.refused.size(), std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(answer.refused[i].reason, expected[i].reason) << i;
    EXPECT_EQ(answer.refused[i].holder.value, expected[i].holder) << i;
    EXPECT_EQ(answer.refused[i].devices, expected[i].devices) << i;
    EXPECT_EQ(answer.refused[i].nodes, expected[i].nodes) << i;
  }
  EXPECT_EQ(answer.total, 24u);
  EXPECT_EQ(answer.left, 0u);
  EXPECT_FALSE(answer.impossible);
  EXPECT_TRUE(answer.fits_when_freed);  // on 9, 10 to 12
}

TEST(Explain, UnequalSharesAndBusyDomains) {
  Facts facts;
  for (uint64_t id = 1; id <= 2; ++id) facts.nodes.push_back(GpuNode(id, "a", "r", 2));
  facts.nodes.push_back(GpuNode(3, "b", "r", 2));
  Refusals answer = Explain(facts.Make(), Gpus(6));  // 4 + 2
  ASSERT_EQ(answer.refused.size(), 1u);
  EXPECT_EQ(answer.refused[0].reason, Reason::kShares);
  EXPECT_EQ(answer.refused[0].devices, 6u);
  EXPECT_TRUE(answer.impossible);
  facts.nodes[0].devices[0].holder = LeaseId{1};
  GangRequest request = Gpus(3, Within::kDomain);
  request.exclusive = true;
  answer = Explain(facts.Make(), request);
  ASSERT_EQ(answer.refused.size(), 3u);
  EXPECT_EQ(answer.refused[1].reason, Reason::kDomainBusy);
  EXPECT_EQ(answer.refused[1].devices, 3u);
  EXPECT_EQ(answer.refused[2].reason, Reason::kIsland);
  EXPECT_EQ(answer.refused[2].devices, 2u);
  EXPECT_TRUE(answer.fits_when_freed);
}

// Every device is counted once; something is left exactly if there is a place, and then the place
// is within it.
TEST(Explain, AgreesWithFindPlace) {
  Random random(5, 3);
  int none = 0;
  int shares = 0;
  for (int round = 0; round < 20000; ++round) {
    const Facts facts = RandomFacts(random, {});
    const GangRequest request = RandomRequest(random, 8);
    const Fleet fleet = facts.Make();
    const Refusals answer = Explain(fleet, request);
    uint32_t sum = answer.left;
    uint32_t known = 0;
    for (const Refusal& refusal : answer.refused) {
      EXPECT_GT(refusal.devices, 0u);
      EXPECT_TRUE(std::is_sorted(refusal.nodes.begin(), refusal.nodes.end()));
      EXPECT_EQ(std::set<NodeId>(refusal.nodes.begin(), refusal.nodes.end()).size(),
                refusal.nodes.size());
      sum += refusal.devices;
      shares += refusal.reason == Reason::kShares ? 1 : 0;
    }
    for (const NodeFacts& node : facts.nodes) known += static_cast<uint32_t>(node.devices.size());
    EXPECT_EQ(sum, known);
    EXPECT_EQ(answer.total, known);
    const bool fits = FindPlace(fleet, request).has_value();
    EXPECT_EQ(answer.left > 0, fits) << round;
    if (fits) {
      EXPECT_GE(answer.left, request.devices);
    }
    if (fits) {
      EXPECT_TRUE(answer.fits_when_freed);
    }
    if (answer.fits_when_freed) {
      EXPECT_FALSE(answer.impossible);
    }
    none += fits ? 0 : 1;
    ASSERT_FALSE(HasFailure()) << round;
  }
  EXPECT_GT(none, 2000);
  EXPECT_GT(shares, 200);
}

}  // namespace
}  // namespace rackmark::plan
