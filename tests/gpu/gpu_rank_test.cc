// The real rackmark-rank-cuda, with the test as its daemon: what it answers where there is no GPU,
// and a whole null run where there is one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "common/exit_codes.h"
#include "common/program.h"
#include "tests/gpu/gpu_fixture.h"
#include "worker/rank/fake_daemon.h"

namespace rackmark {

const char* CudaRankProgram() {
  static const std::string path = *ProgramFolder() + "/rackmark-rank-cuda";
  return path.c_str();
}

namespace {

using testing::HasSubstr;

FakeDaemon::Place GpuPlace(uint32_t rank = 0, uint32_t world = 1) {
  FakeDaemon::Place place;
  place.rank = rank;
  place.world = world;
  place.kind = v1::DEVICE_KIND_GPU;
  return place;
}

v1::RunSpec NullSpec() {
  v1::RunSpec spec;
  spec.mutable_null()->set_duration_ns(200 * kMillisecond);
  spec.mutable_null()->set_samples_per_step(4);
  return spec;
}

void ExpectOrderlyEnd(FakeDaemon& rank) {
  rank.Stop();
  EXPECT_EQ(rank.AwaitExit(), kExitPass);
}

TEST(RankCudaProgram, RefusesACpuSlot) {
  FakeDaemon rank({});
  const auto status = rank.AwaitPhase(v1::RANK_PHASE_CARDED);
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->phase(), v1::RANK_PHASE_FAILED);
  EXPECT_EQ(status->failure().kind(), v1::FAILURE_KIND_UNSUPPORTED);
  EXPECT_THAT(status->failure().detail(), HasSubstr("a CPU slot needs rackmark-rank"));
  ExpectOrderlyEnd(rank);
}

TEST(RankCudaProgram, WithoutADeviceItSaysSoAndStays) {
  if (CudaReady().ok()) GTEST_SKIP() << "this machine has a GPU";
  FakeDaemon rank(GpuPlace());
  const auto status = rank.AwaitPhase(v1::RANK_PHASE_CARDED);
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->phase(), v1::RANK_PHASE_FAILED);
  EXPECT_EQ(status->failure().kind(), v1::FAILURE_KIND_UNSUPPORTED);
  EXPECT_THAT(status->failure().detail(), HasSubstr("no GPU that this process can use"));
  ExpectOrderlyEnd(rank);
}

class GpuRank : public testing::Test {
 protected:
  void SetUp() override {
    if (const absl::Status ready = CudaReady(); !ready.ok()) GTEST_SKIP() << ready.message();
  }
  ~GpuRank() override {
    for (const char* name : kNcclOnOneGpu) unsetenv(name);
    unsetenv("NCCL_HOSTID");
  }
  static constexpr const char* kNcclOnOneGpu[] = {"NCCL_NET", "NCCL_SOCKET_IFNAME",
                                                  "NCCL_IB_DISABLE", "NCCL_NVLS_ENABLE"};
};

TEST_F(GpuRank, RunsTheNullWorkloadAloneAndRefusesServe) {
  FakeDaemon rank(GpuPlace());
  const auto card = rank.AwaitCard();
  ASSERT_TRUE(card.has_value());
  EXPECT_EQ(card->nccl_unique_id().size(), 128U);
  rank.Connect({*card});
  ASSERT_EQ(rank.AwaitPhase(v1::RANK_PHASE_READY)->phase(), v1::RANK_PHASE_READY);
  v1::RunSpec serve;
  serve.mutable_serve()->set_model("nano-1m");
  rank.Order(1, v1::RUN_GOAL_PREPARED, serve);
  const auto refused = rank.AwaitPhase(v1::RANK_PHASE_PREPARED);
  EXPECT_EQ(refused->failure().kind(), v1::FAILURE_KIND_UNSUPPORTED);
  EXPECT_THAT(refused->failure().detail(), HasSubstr("serve on CPU ranks only"));
  rank.Order(2, v1::RUN_GOAL_DONE, NullSpec());
  const auto done = rank.AwaitPhase(v1::RANK_PHASE_DONE);
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->phase(), v1::RANK_PHASE_DONE) << done->failure().detail();
  ExpectOrderlyEnd(rank);
}

TEST_F(GpuRank, TwoRanksOnOneGpuRunTheNullWorkload) {
  setenv("NCCL_NET", "Socket", 1);
  setenv("NCCL_SOCKET_IFNAME", "lo", 1);
  setenv("NCCL_IB_DISABLE", "1", 1);
  setenv("NCCL_NVLS_ENABLE", "0", 1);
  std::vector<std::unique_ptr<FakeDaemon>> ranks;
  for (uint32_t rank = 0; rank < 2; ++rank) {
    // NCCL refuses two ranks of one host on one GPU.
    setenv("NCCL_HOSTID", absl::StrCat("rackmark-test-host-", rank).c_str(), 1);
    ranks.push_back(std::make_unique<FakeDaemon>(GpuPlace(rank, 2)));
  }
  std::vector<v1::AddressCard> cards;
  for (auto& rank : ranks) cards.push_back(rank->AwaitCard().value_or(v1::AddressCard()));
  for (auto& rank : ranks) rank->Connect(cards);
  for (auto& rank : ranks) rank->Order(1, v1::RUN_GOAL_DONE, NullSpec());
  for (auto& rank : ranks) {
    const auto done = rank->AwaitPhase(v1::RANK_PHASE_DONE);
    ASSERT_TRUE(done.has_value());
    EXPECT_EQ(done->phase(), v1::RANK_PHASE_DONE) << done->failure().detail();
  }
  for (auto& rank : ranks) ExpectOrderlyEnd(*rank);
}

}  // namespace
}  // namespace rackmark
