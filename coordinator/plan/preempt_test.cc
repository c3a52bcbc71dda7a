#include "coordinator/plan/preempt.h"

#include <algorithm>

#include "coordinator/plan/fleet_test_kit.h"
#include "gtest/gtest.h"

namespace rackmark::plan {
namespace {

LeaseFacts Runs(uint64_t id, int32_t priority, Nanos started, bool preemptible = true) {
  LeaseFacts lease;
  lease.id = LeaseId{id};
  lease.priority = priority;
  lease.preemptible = preemptible;
  lease.started = started;
  return lease;
}

// Two nodes of four devices; each letter of a node is a lease ('a' = 1), '.' a free device.
Facts House(std::string_view first, std::string_view second) {
  Facts facts;
  facts.nodes = {GpuNode(1, "", "", 4), GpuNode(2, "", "", 4)};
  for (size_t i = 0; i < 4; ++i) {
    for (const size_t n : {size_t{0}, size_t{1}}) {
      const char letter = (n == 0 ? first : second)[i];
      if (letter == '.') continue;
      facts.nodes[n].devices[i].holder = LeaseId{static_cast<uint64_t>(letter - 'a' + 1)};
    }
  }
  return facts;
}

std::vector<uint64_t> Victims(const Facts& facts, const GangRequest& request, int32_t priority) {
  std::vector<uint64_t> ids;
  for (const LeaseId id : ChooseVictims(facts.Make(), request, priority)) ids.push_back(id.value);
  return ids;
}

using Ids = std::vector<uint64_t>;

TEST(Preempt, LowestPriorityThenFewestThenYoungest) {
  Facts facts = House("aabb", "ccdd");
  facts.leases = {Runs(1, 1, 10), Runs(2, 1, 20), Runs(3, 1, 30), Runs(4, 0, 0)};
  EXPECT_EQ(Victims(facts, Gpus(2), 5), (Ids{4}));  // lowest priority, though the oldest
  facts.leases[3].priority = 1;
  EXPECT_EQ(Victims(facts, Gpus(2), 5), (Ids{3}));                    // all alike: the youngest
  EXPECT_EQ(Victims(facts, Gpus(4, Within::kNode), 5), (Ids{1, 2}));  // the oldest is younger here
  facts = House("aaab", "ccde");
  for (uint64_t id = 1; id <= 5; ++id) {
    facts.leases.push_back(Runs(id, 0, static_cast<Nanos>(id)));
  }
  EXPECT_EQ(Victims(facts, Gpus(3, Within::kNode), 5), (Ids{1}));  // one is fewer than two
}

TEST(Preempt, OnlyPreemptibleOnesOfLowerPriority) {
  Facts facts = House("aabb", "ccdd");
  facts.leases = {Runs(1, 5, 0), Runs(2, 0, 0, false), Runs(3, 6, 0)};  // 4 is known to nobody
  EXPECT_EQ(Victims(facts, Gpus(2), 5), Ids{});
  EXPECT_EQ(Victims(facts, Gpus(2), 6), (Ids{1}));
}

TEST(Preempt, NoneIfTheGangWouldNotFitAnyway) {
  Facts facts = House("aabb", "ccdd");
  facts.leases = {Runs(1, 0, 0), Runs(2, 0, 0), Runs(3, 9, 0), Runs(4, 0, 0)};
  EXPECT_EQ(Victims(facts, Gpus(8), 5), Ids{});
  EXPECT_EQ(Victims(facts, Gpus(6), 5), (Ids{1, 2, 4}));
}

TEST(Preempt, NoneMoreWhileSomeAreYielding) {
  Facts facts = House("aabb", "ccdd");
  facts.leases = {Runs(1, 0, 0), Runs(2, 0, 0), Runs(3, 0, 0), Runs(4, 0, 0)};
  facts.leases[0].yielding = true;
  EXPECT_EQ(Victims(facts, Gpus(2), 5), Ids{});
  EXPECT_EQ(Victims(facts, Gpus(4, Within::kNode), 5), (Ids{2}));
}

TEST(Preempt, ForExclusiveUseEverybodyGoes) {
  Facts facts = House("a...", "bc..");
  facts.nodes[1].devices.pop_back();
  facts.leases = {Runs(1, 0, 0), Runs(2, 0, 9), Runs(3, 0, 9)};
  GangRequest request = Gpus(2);
  request.exclusive = true;
  EXPECT_EQ(Victims(facts, request, 5), (Ids{1}));
  facts.leases[0].preemptible = false;
  EXPECT_EQ(Victims(facts, request, 5), (Ids{2, 3}));
}

// What every set of victims would do.
struct Tried {
  bool any = false;
  int32_t priority = INT32_MAX;  // the lowest highest priority of a set that is enough,
  size_t count = SIZE_MAX;       // ... and the fewest of such a set
};

bool FitsWithout(const Facts& facts, const GangRequest& request, const std::vector<LeaseId>& gone) {
  Facts left = facts;
  for (const LeaseId id : gone) left = left.Without(id);
  for (const LeaseFacts& lease : facts.leases) {
    if (lease.yielding) left = left.Without(lease.id);
  }
  return FindPlace(left.Make(), request).has_value();
}

bool MayGo(const LeaseFacts& lease, int32_t priority) {
  return lease.preemptible && !lease.yielding && lease.priority < priority;
}

int32_t HighestOf(const Facts& facts, const std::vector<LeaseId>& ids) {
  int32_t highest = INT32_MIN;
  for (const LeaseId id : ids) highest = std::max(highest, facts.Lease(id)->priority);
  return highest;
}

Tried TryAll(const Facts& facts, const GangRequest& request, int32_t priority) {
  Tried tried;
  for (uint32_t set = 1; set < 1u << facts.leases.size(); ++set) {
    std::vector<LeaseId> gone;
    bool allowed = true;
    for (size_t i = 0; i < facts.leases.size(); ++i) {
      if ((set >> i & 1u) == 0) continue;
      allowed = allowed && MayGo(facts.leases[i], priority);
      gone.push_back(facts.leases[i].id);
    }
    if (!allowed || !FitsWithout(facts, request, gone)) continue;
    const int32_t highest = HighestOf(facts, gone);
    tried.any = true;
    if (highest < tried.priority) tried.count = SIZE_MAX;
    tried.priority = std::min(tried.priority, highest);
    if (highest == tried.priority) tried.count = std::min(tried.count, gone.size());
  }
  return tried;
}

TEST(Preempt, AgreesWithEverySetOfVictims) {
  Random random(8, 5);
  Knobs knobs;
  knobs.nodes_max = 4;
  knobs.leases_max = 4;
  int preempted = 0;
  int refused = 0;
  int several = 0;
  for (int round = 0; round < 3000; ++round) {
    Facts facts = RandomFacts(random, knobs);
    for (NodeFacts& node : facts.nodes) {
      for (DeviceFacts& device : node.devices) {
        if (!OneIn(random, 5)) device.holder = LeaseId{random.Between(1, 4)};
      }
    }
    const GangRequest request = RandomRequest(random, 6);
    const int32_t priority = static_cast<int32_t>(random.Between(1, 3));
    const std::vector<LeaseId> victims = ChooseVictims(facts.Make(), request, priority);
    if (FitsWithout(facts, request, {})) {
      ASSERT_TRUE(victims.empty()) << round;
      continue;
    }
    const Tried tried = TryAll(facts, request, priority);
    ASSERT_EQ(!victims.empty(), tried.any) << round;
    if (victims.empty()) {
      ++refused;
      continue;
    }
    for (const LeaseId id : victims) ASSERT_TRUE(MayGo(*facts.Lease(id), priority)) << round;
    ASSERT_TRUE(FitsWithout(facts, request, victims)) << round;
    ASSERT_EQ(HighestOf(facts, victims), tried.priority) << round;
    for (const LeaseId spared : victims) {
      std::vector<LeaseId> others = victims;
      std::erase(others, spared);
      ASSERT_FALSE(FitsWithout(facts, request, others)) << round;
    }
    const bool one_island = WidestOf(request) <= Within::kDomain;
    const bool counted = request.exclusive || !request.per_node.has_value();
    if (one_island && counted) {
      ASSERT_EQ(victims.size(), tried.count) << round;
    }
    ++preempted;
    several += victims.size() > 1 ? 1 : 0;
  }
  EXPECT_GT(preempted, 200);
  EXPECT_GT(refused, 100);
  EXPECT_GT(several, 25);
}

}  // namespace
}  // namespace rackmark::plan
