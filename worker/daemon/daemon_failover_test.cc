// One daemon, two coordinators: whom it asks, what it keeps, and when it fences itself all the
// same.
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/not_leader.h"
#include "worker/daemon/daemon_fixture.h"

namespace rackmark {
namespace {

// fake_ at endpoint_ is the first, other_ the second; other_ stands by at the beginning.
class DaemonFailoverTest : public DaemonTest {
 protected:
  void SetUp() override {
    DaemonTest::SetUp();
    second_ = {Endpoint::Kind::kUnix, root_ + "/s2"};
    endpoints_ = {endpoint_, second_};
    other_listener_ = *Listener::Start({&other_}, second_, {});
    other_.Set([&](FakeCoordinator& fake) { fake.stand_by_for_ = endpoint_.ToString(); });
  }
  void TearDown() override {
    StopDaemon();
    other_listener_.reset();
    DaemonTest::TearDown();
  }
  // What the other one desires when it leads, in the next epoch.
  void LeadOther(const v1::DesiredState& desired) {
    other_.Want(desired);
    other_.Set([](FakeCoordinator& fake) {
      fake.epoch_ = 2;
      fake.stand_by_for_.reset();
    });
  }
  static v1::Timing FenceAfter(Nanos fence) {
    v1::Timing timing;
    timing.set_sync_interval_ns(fence / 30);
    timing.set_fence_ns(fence);
    return timing;
  }
  static bool Ends(int pid) {
    const auto fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    if (fd < 0) return errno == ESRCH;
    pollfd ended{fd, POLLIN, 0};
    const bool over = poll(&ended, 1, 60'000) == 1;
    close(fd);
    return over;
  }
  std::vector<int> PidsOnce(v1::RankPhase phase, FakeCoordinator& fake) {
    std::vector<int> pids;
    EXPECT_TRUE(fake.Wait([&](const v1::Report& report) {
      if (!BothIn(phase)(report)) return false;
      pids = Pids(report);
      return true;
    }));
    return pids;
  }

  Endpoint second_;
  FakeCoordinator other_;
  std::unique_ptr<Listener> other_listener_;
};

TEST_F(DaemonFailoverTest, AStandbyIsAskedFirstAndSendsItOn) {
  endpoints_ = {second_, endpoint_};
  StartDaemon();
  ToReady();
  other_.Set([](FakeCoordinator& fake) { EXPECT_EQ(fake.refused_, 1); });
}

TEST_F(DaemonFailoverTest, ALeaderThatIsGoneIsFollowedByTheNextAndTheRunGoesOn) {
  StartDaemon();
  ToReady();
  fake_.Want(Running(7, v1::RUN_GOAL_PREPARED));
  const std::vector<int> before = PidsOnce(v1::RANK_PHASE_PREPARED, fake_);
  fake_.Set([](FakeCoordinator& fake) { fake.acking_ = false; });
  fake_.Want(Running(7, v1::RUN_GOAL_DONE));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_DONE)));
  listener_->Shutdown(0);
  LeadOther(Running(7, v1::RUN_GOAL_DONE));
  EXPECT_EQ(PidsOnce(v1::RANK_PHASE_DONE, other_), before);
  // What the first one took and did not ack is sent to the second.
  ASSERT_TRUE(other_.Wait([](const v1::Report& report) {
    int drained = 0;
    for (const auto& stream : report.streams()) drained += stream.drained() ? 1 : 0;
    return drained == 3;
  }));
  EXPECT_FALSE(other_.Chunks({7, 1, v1::STREAM_KIND_RANK, 0}).empty());
}

// As one that is stopped: its connections stay, and nothing comes.
TEST_F(DaemonFailoverTest, ALeaderThatSaysNothingIsLeftAndItsLateWordIsNotTaken) {
  fake_.timing_ = FenceAfter(6 * kSecond);
  StartDaemon();
  ToReady();
  const std::vector<int> before = PidsOnce(v1::RANK_PHASE_READY, fake_);
  fake_.Set([](FakeCoordinator& fake) { fake.answering_ = false; });
  LeadOther(Going());
  EXPECT_EQ(PidsOnce(v1::RANK_PHASE_READY, other_), before);
  // The old one goes on, and wants everything gone. The worker comes to it when the new one ends.
  fake_.Set([](FakeCoordinator& fake) { fake.answering_ = true; });
  fake_.Want({});
  other_.Set([&](FakeCoordinator& fake) { fake.stand_by_for_ = endpoint_.ToString(); });
  other_listener_->Shutdown(0);
  ASSERT_TRUE(fake_.Wait([](const v1::Report& report) { return report.identity().epoch() == 2; }));
  other_.Set([&](FakeCoordinator& fake) { fake.stand_by_for_.reset(); });
  other_listener_ = *Listener::Start({&other_}, second_, {});
  EXPECT_EQ(PidsOnce(v1::RANK_PHASE_READY, other_), before);
}

TEST_F(DaemonFailoverTest, WithoutAnyLeaderItFencesItselfInTimeAndStandbysDoNotProlongIt) {
  fake_.timing_ = FenceAfter(3 * kSecond);
  StartDaemon();
  ToReady();
  const std::vector<int> pids = PidsOnce(v1::RANK_PHASE_READY, fake_);
  fake_.Set([&](FakeCoordinator& fake) { fake.stand_by_for_ = second_.ToString(); });
  listener_->Shutdown(0);
  listener_ = *Listener::Start({&fake_}, endpoint_, {});
  LeadOther({});
  other_.Set([&](FakeCoordinator& fake) { fake.stand_by_for_ = endpoint_.ToString(); });
  for (const int pid : pids) EXPECT_TRUE(Ends(pid)) << pid;
  other_.Set([](FakeCoordinator& fake) { fake.stand_by_for_.reset(); });
  ASSERT_TRUE(other_.Wait(AllFree));
}

}  // namespace
}  // namespace rackmark
