// Whom this worker follows, and when it stops believing.
#include "worker/daemon/session.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/identity.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

constexpr char kA[] = "aaaaaaaaaaaaaaaa";
constexpr char kB[] = "bbbbbbbbbbbbbbbb";

v1::SyncReply Reply(const char* cluster, uint64_t epoch, uint64_t version) {
  v1::SyncReply reply;
  *reply.mutable_identity() = MakeIdentity(cluster, epoch, "c");
  reply.mutable_desired()->set_version(version);
  return reply;
}

// Sends a Report at `at` and answers it.
v1::SyncReply Answered(Session* session, Nanos at, uint64_t epoch = 1) {
  v1::Report report;
  session->StampReport({at, at + 1000}, &report);
  v1::SyncReply reply = Reply(kA, epoch, 1);
  reply.set_answers_report(report.report_number());
  reply.set_worker_send_ns(report.worker_send_ns());
  reply.set_coordinator_receive_ns(500);
  reply.set_coordinator_send_ns(600);
  return reply;
}

TEST(Session, FirstReplyTellsTheClusterAndTheNextReportsCarryIt) {
  Session session({.incarnation = "i", .boot_id = "b", .protocol = std::nullopt});
  v1::Report report;
  session.StampReport({10, 20}, &report);
  EXPECT_EQ(report.identity().cluster_id(), "");
  EXPECT_EQ(report.report_number(), 1U);
  EXPECT_FALSE(report.has_exchange());
  const auto outcome = session.OnReply(Reply(kA, 3, 9), 30, false);
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->new_cluster);
  EXPECT_TRUE(outcome->new_desired);
  EXPECT_FALSE(outcome->answered);
  session.StampReport({40, 50}, &report);
  EXPECT_EQ(report.identity().cluster_id(), kA);
  EXPECT_EQ(report.identity().epoch(), 3U);
  EXPECT_EQ(report.reflects_version(), 9U);
}

TEST(Session, VersionsAndEpochsNeverGoBack) {
  Session session({.incarnation = "i", .boot_id = "b", .protocol = std::nullopt});
  ASSERT_TRUE(session.OnReply(Reply(kA, 2, 5), 0, false).ok());
  EXPECT_FALSE(session.OnReply(Reply(kA, 2, 4), 0, false)->new_desired);
  EXPECT_EQ(session.desired().version(), 5U);
  EXPECT_EQ(session.OnReply(Reply(kA, 1, 99), 0, false).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(session.desired().version(), 5U);
  EXPECT_TRUE(session.OnReply(Reply(kA, 3, 1), 0, false)->new_desired);  // a new term counts anew
  EXPECT_EQ(session.desired().version(), 1U);
}

TEST(Session, AnotherClusterIsRefusedWhileRanksLive) {
  Session session({.incarnation = "i", .boot_id = "b", .protocol = std::nullopt});
  ASSERT_TRUE(session.OnReply(Reply(kA, 5, 5), 0, false).ok());
  const auto refused = session.OnReply(Reply(kB, 1, 1), 0, true);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(session.cluster_id(), kA);
  session.ForgetCluster();
  EXPECT_EQ(session.Identity().cluster_id(), "");
  const auto adopted = session.OnReply(Reply(kB, 1, 1), 0, false);
  ASSERT_TRUE(adopted.ok());
  EXPECT_TRUE(adopted->new_cluster);
  EXPECT_EQ(session.Identity().cluster_id(), kB);
  EXPECT_EQ(session.Identity().epoch(), 1U);
}

TEST(Session, ProtocolMismatchNamesBothRanges) {
  Session session({.incarnation = "i", .boot_id = "b", .protocol = 7});
  EXPECT_EQ(session.Identity().protocol_max(), 7U);
  const auto mismatch = session.OnReply(Reply(kA, 1, 1), 0, false);
  EXPECT_EQ(mismatch.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(mismatch.status().message()), HasSubstr(std::string(kProtocolMismatch)));
  Session plain({.incarnation = "i", .boot_id = "b", .protocol = std::nullopt});
  v1::SyncReply future = Reply(kA, 1, 1);
  future.mutable_identity()->set_protocol_min(50);
  future.mutable_identity()->set_protocol_max(51);
  EXPECT_THAT(std::string(plain.OnReply(future, 0, false).status().message()), HasSubstr("50"));
}

TEST(Session, FencesAfterSendingTheLastAnsweredReport) {
  Session session({.incarnation = "i", .boot_id = "b", .protocol = std::nullopt});
  EXPECT_TRUE(session.Fenced(0));  // nobody was heard yet: nothing may start
  v1::SyncReply first = Answered(&session, 100);
  // Two more are sent, and never answered: they do not renew anything.
  v1::Report lost;
  session.StampReport({5 * kSecond, 5 * kSecond}, &lost);
  session.StampReport({9 * kSecond, 9 * kSecond}, &lost);
  ASSERT_TRUE(session.OnReply(first, 10 * kSecond, false).ok());
  EXPECT_EQ(session.FenceAt(), 30 * kSecond + 1100);
  EXPECT_FALSE(session.Fenced(30 * kSecond + 1099));
  EXPECT_TRUE(session.Fenced(30 * kSecond + 1100));
  // Nor does an unasked reply.
  ASSERT_TRUE(session.OnReply(Reply(kA, 1, 2), 20 * kSecond, true).ok());
  EXPECT_EQ(session.FenceAt(), 30 * kSecond + 1100);
}

TEST(Session, CoordinatorsTimingHoldsAndClockExchangeIsHandedBack) {
  Session session({.incarnation = "i", .boot_id = "b", .protocol = std::nullopt});
  v1::SyncReply reply = Answered(&session, 100);
  reply.mutable_timing()->set_sync_interval_ns(77);
  reply.mutable_timing()->set_fence_ns(88);
  reply.set_coordinator_boot_id("cb");
  EXPECT_TRUE(session.OnReply(reply, 900, false)->answered);
  EXPECT_EQ(session.sync_interval(), 77);
  EXPECT_EQ(session.FenceAt(), 1100 + 88);
  v1::Report report;
  session.StampReport({1000, 1000}, &report);
  EXPECT_EQ(report.exchange().worker_send_ns(), 100);
  EXPECT_EQ(report.exchange().coordinator_receive_ns(), 500);
  EXPECT_EQ(report.exchange().worker_receive_ns(), 900);
  EXPECT_EQ(report.exchange().worker_boot_id(), "b");
  EXPECT_EQ(report.exchange().coordinator_boot_id(), "cb");
}

TEST(Session, AnAnswerOfAnotherStreamCountsForNothing) {
  Session session({.incarnation = "i", .boot_id = "b", .protocol = std::nullopt});
  const v1::SyncReply old = Answered(&session, 100);
  session.StreamOpened();
  v1::Report report;
  session.StampReport({200, 200}, &report);
  EXPECT_EQ(report.report_number(), 1U);
  EXPECT_FALSE(session.OnReply(old, 300, false)->answered);  // same number, another stamp
  EXPECT_EQ(session.FenceAt(), std::nullopt);
  EXPECT_EQ(session.unanswered(), 1U);
}

}  // namespace
}  // namespace rackmark
