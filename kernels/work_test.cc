#include "kernels/work.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/verify.h"

namespace rackmark {
namespace {

TEST(Work, BusFactorsAreThoseOfNcclTests) {
  EXPECT_DOUBLE_EQ(BusFactor(CollectiveKind::kAllReduce, 2), 1.0);
  EXPECT_DOUBLE_EQ(BusFactor(CollectiveKind::kAllReduce, 8), 1.75);
  EXPECT_DOUBLE_EQ(BusFactor(CollectiveKind::kAllGather, 4), 0.75);
  EXPECT_DOUBLE_EQ(BusFactor(CollectiveKind::kReduceScatter, 4), 0.75);
  EXPECT_DOUBLE_EQ(BusFactor(CollectiveKind::kAllToAll, 8), 0.875);
  EXPECT_DOUBLE_EQ(BusFactor(CollectiveKind::kBroadcast, 8), 1.0);
}

TEST(Work, RatesAreDecimalAndMissingWhereThereIsNone) {
  EXPECT_DOUBLE_EQ(AlgorithmGigabytesPerSecond(4'000'000'000, 2 * kSecond).value(), 2.0);
  EXPECT_DOUBLE_EQ(
      BusGigabytesPerSecond(CollectiveKind::kAllReduce, 4, 1'000'000'000, kSecond).value(), 1.5);
  EXPECT_FALSE(AlgorithmGigabytesPerSecond(0, kSecond));
  EXPECT_FALSE(AlgorithmGigabytesPerSecond(8, 0));
  EXPECT_FALSE(BusGigabytesPerSecond(CollectiveKind::kAllReduce, 1, 8, kSecond));
}

TEST(Work, CountsProductsAndAttention) {
  const MatMulWork product = WorkOfMatMul(2, 3, 5);
  EXPECT_EQ(product.flops, 60);
  EXPECT_EQ(product.bytes, 2 * 15 + 4 * 10 + 4 * 6);
  const AttentionWork attention = WorkOfAttention({32, 4, 64}, 100);
  EXPECT_EQ(attention.flops, 4.0 * 32 * 64 * 100);
  EXPECT_EQ(attention.kv_bytes, 4.0 * 4 * 64 * 100);
}

TEST(Verify, FindsOneWrongStaleOrMissingElement) {
  constexpr int kWorld = 3;
  constexpr size_t kN = 50;
  std::vector<float> sum(kN);
  std::vector<float> all(kWorld * kN);
  for (int r = 0; r < kWorld; ++r) {
    float* mine = all.data() + static_cast<size_t>(r) * kN;
    FillCheckValues(7, r, kN, mine);
    for (size_t i = 0; i < kN; ++i) sum[i] += mine[i];
  }
  EXPECT_FALSE(CheckAllReduced(7, kWorld, kN, sum.data()));
  EXPECT_FALSE(CheckAllGathered(7, kWorld, kN, all.data()));
  EXPECT_TRUE(CheckAllReduced(8, kWorld, kN, sum.data())) << "another round's data";
  EXPECT_TRUE(CheckAllReduced(7, kWorld - 1, kN, sum.data())) << "a rank too many";
  sum[49] += 1;
  EXPECT_NE(CheckAllReduced(7, kWorld, kN, sum.data())->find("element 49"), std::string::npos);
  all[120] = NAN;
  EXPECT_NE(CheckAllGathered(7, kWorld, kN, all.data())->find("element 120"), std::string::npos);
}

}  // namespace
}  // namespace rackmark
