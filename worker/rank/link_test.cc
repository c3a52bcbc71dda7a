#include "worker/rank/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "common/exit_codes.h"
#include "common/frame.h"
#include "common/ids.h"
#include "worker/rank/gang.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

TEST(DeadManTest, ExpiresOnlyAfterTheWholeDeadline) {
  DeadMan timer(100 * kSecond);
  timer.SetDeadline(15 * kSecond);
  EXPECT_FALSE(timer.Expired(115 * kSecond));
  EXPECT_TRUE(timer.Expired(115 * kSecond + 1));
  timer.Frame(110 * kSecond);
  EXPECT_FALSE(timer.Expired(125 * kSecond));
  EXPECT_TRUE(timer.Expired(126 * kSecond));
}

TEST(DeadManTest, PollsAreShortSoThatSuspendIsNoticed) {
  DeadMan timer(0);
  timer.SetDeadline(15 * kSecond);
  EXPECT_EQ(timer.Wait(0), kSecond);
  EXPECT_EQ(timer.Wait(15 * kSecond - 5), 5);
  EXPECT_EQ(timer.Wait(3600 * kSecond), 0);
  // Before the daemon named a deadline, there is one all the same.
  EXPECT_TRUE(DeadMan(0).Expired(DeadMan::kBeforeInit + 1));
}

v1::ToRank RunOrder(uint64_t run, uint32_t attempt, v1::RunGoal goal) {
  v1::ToRank frame;
  frame.mutable_run()->set_run_id(run);
  frame.mutable_run()->set_attempt(attempt);
  frame.mutable_run()->set_goal(goal);
  return frame;
}

TEST(InboxTest, RepeatedOrdersCountOnceAndOtherRunsCancel) {
  Inbox inbox;
  int aborts = 0;
  inbox.OnCancel([&aborts] { ++aborts; });
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(inbox.Post(RunOrder(1, 1, v1::RUN_GOAL_PREPARED)));
  }
  ASSERT_TRUE(inbox.Next(0).has_value());
  EXPECT_FALSE(inbox.Next(0).has_value());
  inbox.BeginRun(1, 1);
  ASSERT_TRUE(inbox.Post(RunOrder(1, 1, v1::RUN_GOAL_DONE)));
  EXPECT_FALSE(inbox.cancelled());
  ASSERT_TRUE(inbox.Post(RunOrder(1, 2, v1::RUN_GOAL_PREPARED)));
  EXPECT_TRUE(inbox.cancelled());
  EXPECT_EQ(aborts, 1);
  // A hook that comes late is called all the same.
  int late = 0;
  inbox.OnCancel([&late] { ++late; });
  EXPECT_EQ(late, 1);
  inbox.EndRun();
  EXPECT_FALSE(inbox.cancelled());
  inbox.OnCancel([&late] { ++late; });
  EXPECT_EQ(late, 1);
}

TEST(InboxTest, AStopCancelsForGood) {
  Inbox inbox;
  v1::ToRank stop;
  stop.mutable_stop();
  inbox.BeginRun(1, 1);
  ASSERT_TRUE(inbox.Post(std::move(stop)));
  EXPECT_TRUE(inbox.cancelled());
  inbox.EndRun();
  inbox.BeginRun(2, 1);
  EXPECT_TRUE(inbox.cancelled());
  EXPECT_TRUE(inbox.stopped());
}

TEST(InboxTest, AnOrderThatWaitsAlreadyCancelsTheRunBeforeIt) {
  Inbox inbox;
  ASSERT_TRUE(inbox.Post(RunOrder(1, 1, v1::RUN_GOAL_PREPARED)));
  ASSERT_TRUE(inbox.Post(RunOrder(2, 1, v1::RUN_GOAL_PREPARED)));
  ASSERT_TRUE(inbox.Next(0).has_value());
  inbox.BeginRun(1, 1);
  EXPECT_TRUE(inbox.cancelled());
}

TEST(InboxTest, IsBounded) {
  Inbox inbox;
  for (uint64_t i = 1; i <= Inbox::kOrdersMax; ++i) {
    ASSERT_TRUE(inbox.Post(RunOrder(i, 1, v1::RUN_GOAL_PREPARED)));
  }
  EXPECT_FALSE(inbox.Post(RunOrder(999, 1, v1::RUN_GOAL_PREPARED)));
}

class LinkTest : public ::testing::Test {
 protected:
  LinkTest() : clock_(kSecond) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds_.data()), 0);
    pipe_ = std::make_unique<Pipe>(fds_[0], "boot/1");
    link_ =
        std::make_unique<Link>(Link::Options{.fd = fds_[0],
                                             .inbox = &inbox_,
                                             .pipe = pipe_.get(),
                                             .clock = &clock_,
                                             .end_process = [this](int code, std::string_view why) {
                                               ended_.set_value({code, std::string(why)});
                                             }});
  }
  ~LinkTest() override {
    link_.reset();
    close(fds_[0]);
    if (fds_[1] >= 0) close(fds_[1]);
  }
  void Send(v1::ToRank frame, uint32_t protocol = kProtocolMax) {
    frame.mutable_identity()->set_protocol_min(protocol);
    frame.mutable_identity()->set_protocol_max(protocol);
    ASSERT_TRUE(WriteFrame(fds_[1], frame.SerializeAsString()).ok());
  }

  // Moves only while the link's thread sleeps in poll; reads of it are atomic words on every
  // machine that this builds for, and the tests below move it before the thread can care.
  class AtomicClock : public Clock {
   public:
    explicit AtomicClock(Nanos start) : now_(start) {}
    Nanos Monotonic() const override { return now_; }
    Nanos Boottime() const override { return now_; }
    Nanos Unix() const override { return now_; }
    void Advance(Nanos by) { now_ += by; }

   private:
    std::atomic<Nanos> now_;
  };

  AtomicClock clock_;
  std::array<int, 2> fds_{};
  Inbox inbox_;
  std::unique_ptr<Pipe> pipe_;
  std::promise<std::pair<int, std::string>> ended_;
  std::unique_ptr<Link> link_;
};

TEST_F(LinkTest, SilencePastTheDeadlineEndsTheProcess) {
  v1::ToRank init;
  init.mutable_init()->set_dead_man_ns(5 * kMillisecond);
  Send(std::move(init));
  ASSERT_TRUE(inbox_.Next(10 * kSecond).has_value());
  clock_.Advance(6 * kMillisecond);
  const auto [code, why] = ended_.get_future().get();
  EXPECT_EQ(code, kExitFenced);
  EXPECT_THAT(why, HasSubstr("dead-man"));
}

TEST_F(LinkTest, EndOfFileEndsTheProcess) {
  close(fds_[1]);
  fds_[1] = -1;
  EXPECT_EQ(ended_.get_future().get().first, kExitError);
}

TEST_F(LinkTest, ForeignProtocolIsRefusedWithBothRanges) {
  v1::ToRank init;
  init.mutable_init();
  Send(std::move(init), 9);
  const auto [code, why] = ended_.get_future().get();
  EXPECT_EQ(code, kExitProtocol);
  EXPECT_THAT(why, HasSubstr("9 to 9"));
  EXPECT_THAT(why, HasSubstr("1 to 1"));
}

}  // namespace
}  // namespace rackmark
