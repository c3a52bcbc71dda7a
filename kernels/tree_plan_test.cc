#include "kernels/tree_plan.h"

#include <gtest/gtest.h>

#include "common/random.h"
#include "kernels/collective.h"

namespace rackmark {
namespace {

// The plan, carried out on numbers that show their order, gives TreeSum's bits.
void ExpectTheTreesSum(const HostGroups& groups, int world) {
  const TreePlan plan = PlanTree(groups, world);
  std::vector<float> leaves;
  Random random(3, static_cast<uint64_t>(world));
  for (int r = 0; r < world; ++r) leaves.push_back(static_cast<float>(random.Uniform() - 0.3));
  std::vector<const float*> rows;
  for (const float& leaf : leaves) rows.push_back(&leaf);
  float want = 0;
  TreeSum(rows.data(), world, 1, &want);
  std::vector<float> sums;
  int next = 0;
  for (const TreePlan::Partial& partial : plan.partials) {
    EXPECT_EQ(partial.first, next) << "partials cover the gang in order";
    next = partial.last;
    sums.emplace_back();
    TreeSum(rows.data() + partial.first, partial.last - partial.first, 1, &sums.back());
  }
  EXPECT_EQ(next, world);
  for (const auto& [to, from] : plan.additions) {
    sums[static_cast<size_t>(to)] += sums[static_cast<size_t>(from)];
  }
  EXPECT_EQ(sums[0], want);
}

TEST(TreePlan, AlignedHostsExchangeOnePartialEach) {
  const TreePlan plan = PlanTree({{0, 1, 2, 3}, {4, 5, 6, 7}}, 8);
  ASSERT_EQ(plan.partials.size(), 2U);
  EXPECT_EQ(plan.of_host[1], std::vector<int>{1});
  EXPECT_EQ(plan.additions.size(), 1U);
}

TEST(TreePlan, InterleavedHostsExchangeEveryRank) {
  EXPECT_EQ(PlanTree({{0, 2}, {1, 3}}, 4).partials.size(), 4U);
  // Ranks 2 and 3 are a subtree, 1 and 2 are not.
  EXPECT_EQ(PlanTree({{0}, {1}, {2, 3}}, 4).partials.size(), 3U);
  EXPECT_EQ(PlanTree({{0}, {1, 2}, {3}}, 4).partials.size(), 4U);
}

TEST(TreePlan, AnyPlacementGivesTheTreesSum) {
  Random random(8, 8);
  for (int round = 0; round < 500; ++round) {
    const int world = 1 + static_cast<int>(random.Uniform() * 20);
    const int hosts = 1 + static_cast<int>(random.Uniform() * 5);
    std::vector<std::vector<int>> by_host(static_cast<size_t>(hosts));
    for (int rank = 0; rank < world; ++rank) {
      by_host[static_cast<size_t>(random.Uniform() * hosts)].push_back(rank);
    }
    HostGroups groups;
    for (const auto& ranks : by_host) {
      if (!ranks.empty()) groups.push_back(ranks);
    }
    ExpectTheTreesSum(groups, world);
  }
}

}  // namespace
}  // namespace rackmark
