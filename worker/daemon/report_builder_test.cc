// A Report fits into a message, however many addresses its ranks have.
#include "worker/daemon/report_builder.h"

#include <string>

#include "gtest/gtest.h"

namespace rackmark {
namespace {

LocalRank& Add(LocalState& state, uint64_t lease, uint32_t rank, size_t bytes) {
  LocalRank& added = state.leases[lease].ranks[rank];
  added.phase = v1::RANK_PHASE_CARDED;
  added.card.emplace();
  added.card->set_lease_id(lease);
  added.card->set_rank(rank);
  added.card->set_gloo_addresses(std::string(bytes, 'a'));
  return added;
}

size_t GlooOf(const v1::LeaseReport& lease) {
  size_t bytes = 0;
  for (const v1::RankReport& rank : lease.ranks()) {
    EXPECT_TRUE(rank.has_card());
    bytes += rank.card().gloo_addresses().size();
  }
  return bytes;
}

TEST(ReportBuilder, AddressesThatFitAreAllTold) {
  LocalState state;
  Add(state, 1, 0, 1000).met = true;
  Add(state, 1, 1, 1000);
  EXPECT_EQ(GlooOf(BuildReport(state, {}, 0).leases(0)), 2000U);
}

TEST(ReportBuilder, WhoHasMetTheOthersGoesWithoutFirst) {
  LocalState state;
  for (uint32_t rank = 0; rank < 100; ++rank) {
    Add(state, 1, rank, 20'000).met = true;
    Add(state, 2, rank, 20'000);
  }
  const v1::Report report = BuildReport(state, {}, 0);
  EXPECT_EQ(GlooOf(report.leases(0)), 0U);
  EXPECT_EQ(GlooOf(report.leases(1)), 2'000'000U);
}

TEST(ReportBuilder, ALeaseGoesWithoutAsAWholeTheNewestFirst) {
  LocalState state;
  for (uint32_t rank = 0; rank < 100; ++rank) {
    Add(state, 1, rank, 20'000);
    Add(state, 2, rank, 20'000);
  }
  const v1::Report report = BuildReport(state, {}, 0);
  EXPECT_EQ(GlooOf(report.leases(0)), 2'000'000U);
  EXPECT_EQ(GlooOf(report.leases(1)), 0U);
  EXPECT_LT(report.ByteSizeLong(), size_t{4 << 20});
}

}  // namespace
}  // namespace rackmark
