// The one suite that every Leadership must pass, and its keeper. Nothing waits for a lease's end:
// the test ends it.
#include "coordinator/store/leadership.h"

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/store/lease_keeper.h"
#include "coordinator/store/memory_leadership.h"
#include "coordinator/store/pg_leadership.h"
#include "coordinator/store/pg_test_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

constexpr Nanos kLong = 3600 * kSecond;

class MemoryRow {
 public:
  bool Make(std::string&) { return true; }
  std::unique_ptr<Leadership> New() { return std::make_unique<MemoryLeadership>(&row_); }
  void Expire() { clock_.Advance(kLong); }

 private:
  ManualClock clock_{1};
  MemoryLeaderRow row_{&clock_};
};

class PgRow {
 public:
  bool Make(std::string& why) {
    PgTestServer* const server = PgTestServer::Shared(why);
    if (server != nullptr) options_ = server->NewDatabase();
    return server != nullptr;
  }
  std::unique_ptr<Leadership> New() {
    auto leadership = PgLeadership::Open(options_);
    EXPECT_TRUE(leadership.ok()) << leadership.status();
    return *std::move(leadership);
  }
  void Expire() {
    const auto connection = PgConnection::Open(options_, "test");
    ASSERT_TRUE((*connection)->Execute("UPDATE leader SET expires = clock_timestamp()").ok());
  }

 private:
  PgOptions options_;
};

template <typename Row>
class LeadershipSuite : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    if (!row_.Make(why)) GTEST_SKIP() << why;
    a_ = row_.New();
    b_ = row_.New();
  }
  Row row_;
  std::unique_ptr<Leadership> a_, b_;
};
using Rows = testing::Types<MemoryRow, PgRow>;
TYPED_TEST_SUITE(LeadershipSuite, Rows);

TYPED_TEST(LeadershipSuite, TheFirstLeadsAndTheOtherHearsWhoAndWhere) {
  auto view = *this->b_->Current();
  EXPECT_EQ(view.term, 0U);
  EXPECT_FALSE(view.left.has_value());
  EXPECT_EQ(**this->a_->TryLead(7, kLong), 1U);
  EXPECT_EQ(this->a_->term(), 1U);
  EXPECT_EQ(this->a_->leads_until(), 7 + kLong);
  EXPECT_FALSE(this->b_->TryLead(7, kLong)->has_value());
  EXPECT_EQ(this->b_->term(), 0U);
  EXPECT_EQ(this->b_->leads_until(), 0);
  ASSERT_TRUE(this->a_->Announce("host:1").ok());
  view = *this->b_->Current();
  EXPECT_EQ(view.term, 1U);
  EXPECT_EQ(view.address, "host:1");
  ASSERT_TRUE(view.left.has_value());
  EXPECT_GT(*view.left, 0);
  EXPECT_LE(*view.left, kLong);
}

TYPED_TEST(LeadershipSuite, WhoseTimeIsOverLosesTheLeadToTheNextWhoAsks) {
  ASSERT_TRUE((*this->a_->TryLead(1, kLong)).has_value());
  this->row_.Expire();
  EXPECT_EQ(**this->b_->TryLead(2, kLong), 2U);
  EXPECT_EQ(this->b_->Current()->address, "");
  EXPECT_TRUE(absl::IsFailedPrecondition(this->a_->Renew(3)));
  EXPECT_TRUE(absl::IsFailedPrecondition(this->a_->Announce("x")));
  EXPECT_TRUE(absl::IsFailedPrecondition(this->a_->Resign()));
  EXPECT_EQ(this->a_->leads_until(), 0);
  EXPECT_EQ(this->b_->Current()->address, "");
  EXPECT_TRUE(this->b_->Renew(4).ok());
}

TYPED_TEST(LeadershipSuite, WhoRenewsKeepsItAndALateRenewalCountsWhileNobodyElseLeads) {
  ASSERT_TRUE((*this->a_->TryLead(1, kLong)).has_value());
  ASSERT_TRUE(this->a_->Renew(50).ok());
  EXPECT_EQ(this->a_->leads_until(), 50 + kLong);
  this->row_.Expire();
  EXPECT_FALSE(this->b_->Current()->left.has_value());
  ASSERT_TRUE(this->a_->Renew(60).ok());
  EXPECT_FALSE(this->b_->TryLead(1, kLong)->has_value());
}

TYPED_TEST(LeadershipSuite, WhoResignsWakesTheNextAndMayComeAgain) {
  EXPECT_TRUE(absl::IsFailedPrecondition(this->a_->Resign()));
  ASSERT_TRUE((*this->a_->TryLead(1, kLong)).has_value());
  EXPECT_TRUE(*this->b_->WaitForChange(kLong));
  EXPECT_FALSE(*this->b_->WaitForChange(kMillisecond));
  ASSERT_TRUE(this->a_->Resign().ok());
  EXPECT_TRUE(*this->b_->WaitForChange(kLong));
  EXPECT_EQ(**this->b_->TryLead(2, kLong), 2U);
  ASSERT_TRUE(this->b_->Resign().ok());
  EXPECT_EQ(**this->a_->TryLead(3, kLong), 3U);
}

TYPED_TEST(LeadershipSuite, OfManyAtOnceOneLeads) {
  constexpr int kMany = 6;
  std::vector<std::unique_ptr<Leadership>> all;
  for (int i = 0; i < kMany; ++i) all.push_back(this->row_.New());
  for (uint64_t round = 1; round <= 3; ++round) {
    std::atomic<int> led = 0;
    std::vector<std::thread> threads;
    for (auto& one : all) {
      threads.emplace_back([&] {
        const auto term = one->TryLead(1, kLong);
        EXPECT_TRUE(term.ok()) << term.status();
        if (!term.ok() || !*term) return;
        EXPECT_EQ(**term, round);
        ++led;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(led, 1);
    for (auto& one : all) {
      if (one->term() == 0) continue;
      EXPECT_TRUE(one->Resign().ok());
    }
  }
}

// Gives what the test says.
class ScriptedLeadership : public Leadership {
 public:
  std::atomic<bool> fails = false;
  std::atomic<int> renewals = 0;
  std::promise<std::string> announced;

 private:
  absl::StatusOr<std::optional<uint64_t>> DoTryLead(Nanos) override {
    return std::optional<uint64_t>(1);
  }
  absl::Status DoRenew(uint64_t, Nanos) override {
    ++renewals;
    return fails ? absl::UnavailableError("planted") : absl::OkStatus();
  }
  absl::Status DoAnnounce(uint64_t, const std::string& address) override {
    announced.set_value(address);
    return absl::OkStatus();
  }
  absl::Status DoResign(uint64_t) override { return absl::OkStatus(); }
  absl::StatusOr<LeaderView> DoCurrent() override { return LeaderView{}; }
  absl::StatusOr<bool> DoWaitForChange(Nanos) override { return false; }
};

struct Kept {
  explicit Kept(Leadership& leadership, Nanos interval) {
    LeaseKeeper::Options options;
    options.leadership = &leadership;
    options.clock = &SystemClock();
    options.interval = interval;
    options.lost = [this](const absl::Status& status) { lost.set_value(status); };
    keeper = std::make_unique<LeaseKeeper>(options);
  }
  std::promise<absl::Status> lost;
  std::unique_ptr<LeaseKeeper> keeper;
};

TEST(LeaseKeeper, ALeaseThatCannotBeRenewedIsLostAtItsEndAndNotBefore) {
  ScriptedLeadership leadership;
  leadership.fails = true;
  const Nanos now = SystemClock().Boottime();
  ASSERT_TRUE(leadership.TryLead(now, 300 * kMillisecond).ok());
  Kept kept(leadership, 10 * kMillisecond);
  const absl::Status lost = kept.lost.get_future().get();
  EXPECT_EQ(lost.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_GE(SystemClock().Boottime(), now + 300 * kMillisecond);
}

TEST(LeaseKeeper, AnAddressThatCannotBeToldWaitsForTheNextRenewal) {
  ScriptedLeadership leadership;
  leadership.fails = true;
  ASSERT_TRUE(leadership.TryLead(SystemClock().Boottime(), 300 * kMillisecond).ok());
  Kept kept(leadership, kLong);
  kept.keeper->Announce("unix:/x");
  EXPECT_EQ(kept.lost.get_future().get().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LE(leadership.renewals, 1);
}

TEST(LeaseKeeper, AnotherLeaderIsToldOfAtOnceAndAnAddressGoesOutWithoutWaiting) {
  ManualClock clock(1);
  MemoryLeaderRow row(&clock);
  MemoryLeadership old(&row), next(&row);
  ASSERT_TRUE(old.TryLead(SystemClock().Boottime(), kLong).ok());
  clock.Advance(kLong);
  ASSERT_EQ(**next.TryLead(SystemClock().Boottime(), kLong), 2U);
  Kept kept(old, kMillisecond);
  EXPECT_TRUE(absl::IsFailedPrecondition(kept.lost.get_future().get()));

  ScriptedLeadership scripted;
  ASSERT_TRUE(scripted.TryLead(SystemClock().Boottime(), kLong).ok());
  Kept slow(scripted, kLong);  // its first renewal by time is an hour away
  slow.keeper->Announce("unix:/x");
  EXPECT_EQ(scripted.announced.get_future().get(), "unix:/x");
  EXPECT_EQ(scripted.renewals, 1);
}

TEST(LeaseKeeper, WhoIsAskedToRenewNowLearnsAtOnceThatAnotherLeads) {
  ManualClock clock(1);
  MemoryLeaderRow row(&clock);
  MemoryLeadership old(&row), next(&row);
  ASSERT_TRUE(old.TryLead(SystemClock().Boottime(), kLong).ok());
  clock.Advance(kLong);
  ASSERT_EQ(**next.TryLead(SystemClock().Boottime(), kLong), 2U);
  Kept kept(old, kLong);  // its first renewal by time is an hour away
  kept.keeper->RenewNow();
  EXPECT_TRUE(absl::IsFailedPrecondition(kept.lost.get_future().get()));
}

// A worker that says so all the time costs the database nothing.
TEST(LeaseKeeper, AskingAgainAndAgainRenewsOnce) {
  ScriptedLeadership leadership;
  ASSERT_TRUE(leadership.TryLead(SystemClock().Boottime(), kLong).ok());
  Kept kept(leadership, kLong);
  for (int i = 0; i < 100; ++i) kept.keeper->RenewNow();
  kept.keeper->Announce("unix:/x");  // goes out with a renewal, after the first one or with it
  EXPECT_EQ(leadership.announced.get_future().get(), "unix:/x");
  EXPECT_LE(leadership.renewals, 2);
  EXPECT_GE(leadership.renewals, 1);
}

}  // namespace
}  // namespace rackmark
