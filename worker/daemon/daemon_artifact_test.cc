// Files that runs refer to by hash, through the whole daemon: fetched, given to the ranks, or
// refused.
#include "common/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/daemon/daemon_fixture.h"

namespace rackmark {
namespace {

auto BothPrepared(uint64_t run, const std::string& note) {
  return [run, note](const v1::Report& report) {
    if (report.leases_size() != 1 || report.leases(0).ranks_size() != 2) return false;
    for (const auto& rank : report.leases(0).ranks()) {
      if (rank.phase() != v1::RANK_PHASE_PREPARED || rank.run_id() != run) return false;
      if (rank.note() != note) return false;
    }
    return true;
  };
}

TEST_F(DaemonTest, ARunsFileIsFetchedOnceAndGivenToEachRankBeforeTheRun) {
  std::string content((2 << 20) + 5, 'a');
  content[1'500'000] = 'b';
  const std::string sha256 = Sha256Hex(content);
  fake_.artifacts_[sha256] = content;
  StartDaemon();
  ToReady();
  fake_.Want(RunningWith(7, sha256));
  ASSERT_TRUE(fake_.Wait(BothPrepared(7, "file 1")));
  fake_.Want(RunningWith(8, sha256));  // they have it still
  ASSERT_TRUE(fake_.Wait(BothPrepared(8, "file 1")));
  const std::string other = Sha256Hex("other");
  fake_.Set([&](FakeCoordinator& fake) { fake.artifacts_[other] = "other"; });
  fake_.Want(RunningWith(9, other));
  ASSERT_TRUE(fake_.Wait(BothPrepared(9, "file 2")));
  fake_.Want(RunningWith(10, sha256));  // from the cache
  ASSERT_TRUE(fake_.Wait(BothPrepared(10, "file 3")));
  fake_.Set([](FakeCoordinator& fake) { EXPECT_EQ(fake.artifact_calls_, 2); });
  EXPECT_TRUE(std::filesystem::exists(root_ + "/data/artifacts/" + sha256));
}

TEST_F(DaemonTest, AFileIsAskedForAgainWhileTheCoordinatorIsAway) {
  const std::string content(3 << 20, 'a');
  const std::string sha256 = Sha256Hex(content);
  fake_.artifacts_[sha256] = content;
  const grpc::Status broken(grpc::StatusCode::UNAVAILABLE, "restarting");
  fake_.artifact_troubles_ = {broken, broken, {grpc::StatusCode::RESOURCE_EXHAUSTED, "busy"}};
  StartDaemon();
  ToReady();
  fake_.Want(RunningWith(7, sha256));
  ASSERT_TRUE(fake_.Wait(BothPrepared(7, "file 1")));
  fake_.Set([](FakeCoordinator& fake) { EXPECT_EQ(fake.artifact_calls_, 4); });
}

TEST_F(DaemonTest, AFileThatCannotBeHadFailsTheRunAndBlamesNobody) {
  fake_.artifacts_[Sha256Hex("right")] = "wrong";
  fake_.artifact_troubles_ = {{grpc::StatusCode::NOT_FOUND, "nobody uploaded it"}};
  StartDaemon();
  ToReady();
  const auto both_failed = [](uint64_t run, const std::string& words) {
    return [run, words](const v1::Report& report) {
      if (!BothIn(v1::RANK_PHASE_FAILED)(report)) return false;
      for (const auto& rank : report.leases(0).ranks()) {
        if (rank.run_id() != run || rank.failure().has_rank()) return false;
        if (rank.failure().kind() != v1::FAILURE_KIND_RANK_FAILED) return false;
        if (rank.failure().detail().find(words) == std::string::npos) return false;
      }
      return true;
    };
  };
  fake_.Want(RunningWith(7, Sha256Hex("missing")));
  ASSERT_TRUE(fake_.Wait(both_failed(7, "nobody uploaded it")));
  fake_.Want(RunningWith(8, Sha256Hex("right")));
  ASSERT_TRUE(fake_.Wait(both_failed(8, "the bytes have the sha256 " + Sha256Hex("wrong"))));
  EXPECT_TRUE(std::filesystem::is_empty(root_ + "/data/artifacts"));
  ASSERT_TRUE(fake_.Wait([](const v1::Report& report) {  // what it opened, it closed
    int drained = 0;
    for (const auto& stream : report.streams()) drained += stream.drained() ? 1 : 0;
    return drained == 6;
  }));
  fake_.Want(Running(9, v1::RUN_GOAL_PREPARED));  // the processes go on
  EXPECT_TRUE(fake_.Wait(BothPrepared(9, "")));
}

// The coordinator may be away when it is refused: the Report that it gets later must tell it.
TEST_F(DaemonTest, ARefusedRunStaysRefusedWhateverItsRankSaysAgain) {
  setenv("FAKE_RANK", "says-again", 1);
  fake_.artifact_troubles_ = {{grpc::StatusCode::NOT_FOUND, "nobody uploaded it"}};
  StartDaemon();
  ToReady();
  fake_.Want(RunningWith(7, Sha256Hex("missing")));
  std::string card;
  ASSERT_TRUE(fake_.Wait([&](const v1::Report& report) {
    if (!BothIn(v1::RANK_PHASE_FAILED)(report)) return false;
    card = report.leases(0).ranks(0).card().shm_name();
    return true;
  }));
  ASSERT_TRUE(fake_.Wait([&](const v1::Report& report) {
    return report.leases(0).ranks(0).card().shm_name() != card;
  }));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    const v1::RankReport& rank = report.leases(0).ranks(0);
    EXPECT_EQ(rank.phase(), v1::RANK_PHASE_FAILED);
    EXPECT_EQ(rank.run_id(), 7U);
    EXPECT_THAT(rank.failure().detail(), testing::HasSubstr("nobody uploaded it"));
    return true;
  }));
  fake_.Want(Running(9, v1::RUN_GOAL_PREPARED));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    const v1::RankReport& rank = report.leases(0).ranks(0);
    return rank.run_id() == 9 && rank.phase() == v1::RANK_PHASE_PREPARED;
  }));
}

}  // namespace
}  // namespace rackmark
