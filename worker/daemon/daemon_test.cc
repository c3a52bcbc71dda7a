// The whole daemon: start, card, connect, run, samples, ack, drained; and what happens when
// somebody fails.
#include "worker/daemon/daemon.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "common/shm_name.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/identity.h"
#include "samples/chunk_codec.h"
#include "worker/daemon/daemon_fixture.h"
#include "worker/device/telemetry.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

bool Drained(const v1::Report& report) {
  if (report.streams_size() != 3) return false;  // two ranks and the node
  for (const auto& stream : report.streams()) {
    if (!stream.drained()) return false;
  }
  return true;
}

TEST_F(DaemonTest, FromStartToDrained) {
  StartDaemon();
  fake_.Want(OneLease());
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_CARDED)));
  ASSERT_TRUE(fake_.Wait([](const v1::Report& report) {
    return report.leases(0).ranks(1).card().shm_name() == "rank1" &&
           report.leases(0).ranks(1).card().rank() == 1 &&
           report.leases(0).ranks(0).card().host_id() == "h1" &&
           report.devices(1).lease_id() == 1 && report.reflects_version() == 1 &&
           report.node().environment().more().at("zstd") == ZstdVersion();
  }));
  fake_.Want(Going());
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_READY)));
  fake_.Want(Running(7, v1::RUN_GOAL_PREPARED));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_PREPARED)));
  fake_.Want(Running(7, v1::RUN_GOAL_DONE));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_DONE)));
  ASSERT_TRUE(fake_.Wait(Drained));
  for (uint32_t rank = 0; rank < 2; ++rank) {
    const auto chunks = fake_.Chunks({7, 1, v1::STREAM_KIND_RANK, rank});
    ASSERT_FALSE(chunks.empty());
    int requests = 0;
    for (const auto& entry : chunks) requests += UnpackChunk(entry.second)->requests_size();
    EXPECT_EQ(requests, 3);
    EXPECT_EQ(chunks.begin()->first, 1U);
    EXPECT_TRUE(chunks.rbegin()->second.header().last());
    EXPECT_EQ(chunks.rbegin()->second.header().cluster_id(), "cafecafecafecafe");
    EXPECT_EQ(chunks.rbegin()->second.header().node_id(), 5U);
  }
  const auto node = fake_.Chunks({7, 1, v1::STREAM_KIND_NODE, 0});
  ASSERT_FALSE(node.empty());
  EXPECT_GT(UnpackChunk(node.begin()->second)->columns_size(), 2);

  // The next run on the same processes, then the end of the lease.
  fake_.Want(Running(8, v1::RUN_GOAL_PREPARED));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_PREPARED)));
  fake_.Want({});
  ASSERT_TRUE(fake_.Wait(AllFree));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    int closed = 0;
    for (const auto& stream : report.streams()) {
      closed += stream.run_id() == 8 && stream.drained() ? 1 : 0;
    }
    return closed == 3;  // told by Reports even after the lease is gone
  }));
}

TEST_F(DaemonTest, ARankThatDiesIsReportedWithItsLastWords) {
  setenv("FAKE_RANK", "die-preparing", 1);
  StartDaemon();
  ToReady();
  fake_.Want(Running(7, v1::RUN_GOAL_PREPARED));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_EXITED)));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    const v1::Failure& failure = report.leases(0).ranks(1).failure();
    return failure.kind() == v1::FAILURE_KIND_RANK_DIED && failure.rank() == 1 &&
           failure.device() == 1 && failure.node() == "n1" &&
           failure.phase() == v1::RANK_PHASE_PREPARING &&
           failure.stderr_tail() == "out of ? luck\n" &&
           failure.detail().find("exit status 3") != std::string::npos &&
           report.devices(1).lease_id() == 0;  // reaped
  }));
  fake_.Want({});
  EXPECT_TRUE(fake_.Wait(AllFree));
}

TEST_F(DaemonTest, ARankThatFailsARunDoesTheNextOne) {
  setenv("FAKE_RANK", "fail-run", 1);
  StartDaemon();
  ToReady();
  fake_.Want(Running(7, v1::RUN_GOAL_PREPARED));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_FAILED)));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    const v1::Failure& failure = report.leases(0).ranks(1).failure();
    return failure.detail() == "told to fail" && failure.rank() == 1 && failure.device() == 1 &&
           failure.node() == "n1" && failure.phase() == v1::RANK_PHASE_PREPARING;
  }));
  fake_.Want(Running(8, v1::RUN_GOAL_DONE));
  EXPECT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_DONE)));
}

TEST_F(DaemonTest, ABystanderIsNotBlamedAndItsLastSamplesAreKept) {
  setenv("FAKE_RANK", "bystander", 1);
  StartDaemon();
  ToReady();
  fake_.Want(Running(7, v1::RUN_GOAL_PREPARED));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_FAILED)));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    const v1::Failure& failure = report.leases(0).ranks(1).failure();
    return failure.detail() == "told to fail" && !failure.has_rank() && !failure.has_device();
  }));
  fake_.Want({});
  ASSERT_TRUE(fake_.Wait(AllFree));
  ASSERT_TRUE(fake_.Wait(Drained));
  for (uint32_t rank = 0; rank < 2; ++rank) {
    int requests = 0;
    for (const auto& entry : fake_.Chunks({7, 1, v1::STREAM_KIND_RANK, rank})) {
      requests += UnpackChunk(entry.second)->requests_size();
    }
    EXPECT_EQ(requests, 3);
  }
}

TEST_F(DaemonTest, AKilledRanksSegmentIsRemoved) {
  setenv("FAKE_RANK", "leak-segment", 1);
  StartDaemon();
  fake_.Want(OneLease());
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_EXITED)));
  ASSERT_TRUE(fake_.Wait([](const v1::Report& report) {
    for (const v1::RankReport& rank : report.leases(0).ranks()) {
      if (!IsSegmentName(rank.card().shm_name())) return false;
      if (std::filesystem::exists("/dev/shm" + rank.card().shm_name())) return false;
    }
    return true;
  }));
}

// It says the name on its stderr only, which the daemon does not understand.
TEST_F(DaemonTest, ASegmentThatADeadRankHadNotSpokenOfIsRemoved) {
  setenv("FAKE_RANK", "leak-unsaid", 1);
  StartDaemon();
  fake_.Want(OneLease());
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_EXITED)));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    for (const v1::RankReport& rank : report.leases(0).ranks()) {
      if (rank.has_card() || !IsSegmentName(rank.failure().stderr_tail())) return false;
      if (std::filesystem::exists("/dev/shm" + rank.failure().stderr_tail())) return false;
    }
    return true;
  }));
}

// SIGTERM would wait until somebody lets it go on.
TEST_F(DaemonTest, AStoppedRankDoesNotOutliveItsDaemon) {
  StartDaemon();
  ToReady();
  std::vector<int> pids;
  ASSERT_TRUE(fake_.Wait([&](const v1::Report& report) {
    pids = Pids(report);
    return pids.size() == 2;
  }));
  for (const int pid : pids) ASSERT_EQ(kill(pid, SIGSTOP), 0);
  StopDaemon();
  for (const int pid : pids) {
    EXPECT_EQ(kill(pid, 0), -1) << "pid " << pid << " is still there";
    EXPECT_EQ(errno, ESRCH);
  }
}

TEST_F(DaemonTest, ARankOfAnotherBuildIsRefusedByName) {
  setenv("FAKE_RANK", "other-protocol", 1);
  StartDaemon();
  fake_.Want(OneLease());
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_EXITED)));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    const v1::Failure& failure = report.leases(0).ranks(0).failure();
    return failure.kind() == v1::FAILURE_KIND_UNSUPPORTED &&
           failure.detail().find(kProtocolMismatch) != std::string::npos &&
           !report.leases(0).ranks(0).has_card();
  }));
}

TEST_F(DaemonTest, ADeafRankIsKilledAfterTheGrace) {
  setenv("FAKE_RANK", "deaf", 1);
  StartDaemon();
  ToReady();
  fake_.Want({});
  EXPECT_TRUE(fake_.Wait(AllFree));
}

TEST_F(DaemonTest, SilenceFencesAndTheReportSaysSo) {
  fake_.timing_.set_sync_interval_ns(20 * kMillisecond);
  fake_.timing_.set_fence_ns(300 * kMillisecond);
  StartDaemon();
  ToReady();
  std::vector<int> pids;
  fake_.Set([](FakeCoordinator& fake) { fake.answering_ = false; });
  ASSERT_TRUE(fake_.Wait([&](const v1::Report& report) {
    pids = Pids(report);
    return report.leases(0).ranks(0).phase() == v1::RANK_PHASE_EXITED &&
           report.leases(0).ranks(0).failure().kind() == v1::FAILURE_KIND_FENCED;
  }));
  for (int pid : pids) EXPECT_FALSE(ProcessStart(MachineFiles(), pid));
  // Back again: the same lease is not started a second time, a new one is.
  fake_.Set([](FakeCoordinator& fake) {
    fake.answering_ = true;
    fake.timing_.set_fence_ns(30 * kSecond);
  });
  v1::DesiredState next = OneLease();
  next.mutable_leases(0)->set_lease_id(2);
  fake_.Want(next);
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    return report.leases_size() == 1 && report.leases(0).lease_id() == 2 &&
           report.leases(0).ranks_size() == 2 &&
           report.leases(0).ranks(0).phase() == v1::RANK_PHASE_CARDED;
  }));
}

TEST_F(DaemonTest, UnackedChunksSurviveTheWorkersRestart) {
  fake_.acking_ = false;
  StartDaemon();
  ToReady();
  fake_.Want(Running(7, v1::RUN_GOAL_DONE));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_DONE)));
  std::vector<int> pids;
  ASSERT_TRUE(fake_.Wait([&](const v1::Report& report) {
    pids = Pids(report);
    return true;
  }));
  StopDaemon();
  for (int pid : pids) EXPECT_FALSE(ProcessStart(MachineFiles(), pid));
  fake_.Set([](FakeCoordinator& fake) { fake.acking_ = true; });
  fake_.Want({});
  StartDaemon();
  ASSERT_TRUE(fake_.Wait([](const v1::Report& report) {
    return report.identity().incarnation() == "b1/2" && AllFree(report);
  }));
  EXPECT_TRUE(fake_.Wait(
      [&](const v1::Report&) { return std::filesystem::is_empty(root_ + "/data/spool"); }));
  EXPECT_TRUE(fake_.Chunks({7, 1, v1::STREAM_KIND_RANK, 1}).rbegin()->second.header().last());
}

TEST_F(DaemonTest, ACoordinatorsRestartKillsNoRun) {
  StartDaemon();
  ToReady();
  std::vector<int> before, after;
  ASSERT_TRUE(fake_.Wait([&](const v1::Report& report) {
    before = Pids(report);
    return true;
  }));
  listener_.reset();
  Listen();
  fake_.Want(Running(7, v1::RUN_GOAL_DONE));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_DONE)));
  ASSERT_TRUE(fake_.Wait([&](const v1::Report& report) {
    after = Pids(report);
    return Drained(report);
  }));
  EXPECT_EQ(before, after);
}

TEST_F(DaemonTest, AnotherClusterIsAdoptedOnlyWithoutRanks) {
  StartDaemon();
  ToReady();
  fake_.Set([](FakeCoordinator& fake) { fake.cluster_ = "beefbeefbeefbeef"; });
  fake_.Want({});  // of the foreign cluster: it must not stop anything
  ASSERT_TRUE(fake_.Wait([](const v1::Report& report) {
    return report.report_number() == 1 && report.identity().cluster_id() == "cafecafecafecafe" &&
           BothIn(v1::RANK_PHASE_READY)(report);
  }));
  fake_.Set([](FakeCoordinator& fake) { fake.cluster_ = "cafecafecafecafe"; });
  fake_.Want({});
  ASSERT_TRUE(fake_.Wait(AllFree));
  fake_.Set([](FakeCoordinator& fake) { fake.cluster_ = "beefbeefbeefbeef"; });
  fake_.Want({});
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    return report.identity().cluster_id() == "beefbeefbeefbeef";
  }));
}

TEST_F(DaemonTest, NoCommonProtocolEndsTheDaemon) {
  fake_.refuse_ = CheckProtocol([] {
    v1::Identity identity;
    identity.set_protocol_min(99);
    identity.set_protocol_max(99);
    return identity;
  }());
  StartDaemon(99);
  thread_.join();
  EXPECT_EQ(result_.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(result_.message()), HasSubstr(std::string(kProtocolMismatch)));
}

TEST_F(DaemonTest, AGpuGetsTheProgramForGpus) {
  kind_ = v1::DEVICE_KIND_GPU;
  programs_ = {.cpu = root_ + "/no-rank", .gpu = *ProgramFolder() + "/fake_rank"};
  StartDaemon();
  v1::DesiredState desired = OneLease();
  desired.mutable_leases(0)->set_kind(v1::DEVICE_KIND_GPU);
  fake_.Want(desired);
  EXPECT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_CARDED)));
}

TEST_F(DaemonTest, AnAbsentProgramForGpusIsUnsupportedAndSaysTheRemedy) {
  kind_ = v1::DEVICE_KIND_GPU;
  programs_.gpu = root_ + "/rackmark-rank-cuda";
  StartDaemon();
  v1::DesiredState desired = OneLease();
  desired.mutable_leases(0)->set_kind(v1::DEVICE_KIND_GPU);
  fake_.Want(desired);
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    if (!BothIn(v1::RANK_PHASE_EXITED)(report)) return false;
    const v1::Failure& failure = report.leases(0).ranks(0).failure();
    return failure.kind() == v1::FAILURE_KIND_UNSUPPORTED &&
           failure.detail().find("rackmark-rank-cuda") != std::string::npos &&
           failure.detail().find("CUDA toolkit") != std::string::npos;
  }));
}

TEST_F(DaemonTest, AnAbsentDeviceIsUnsupported) {
  StartDaemon();
  v1::DesiredState desired = OneLease();
  desired.mutable_leases(0)->set_kind(v1::DEVICE_KIND_GPU);
  fake_.Want(desired);
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    return BothIn(v1::RANK_PHASE_EXITED)(report) &&
           report.leases(0).ranks(0).failure().kind() == v1::FAILURE_KIND_UNSUPPORTED;
  }));
}

}  // namespace
}  // namespace rackmark
