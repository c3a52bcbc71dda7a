// Two coordinators on one PostgreSQL database, as main opens their stores.
#include "coordinator/led_stores.h"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/exit_codes.h"
#include "coordinator/store/store_suite.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;

constexpr Nanos kLong = 3600 * kSecond;

// Moved on while the keeper's threads read it.
class SteppedClock : public Clock {
 public:
  Nanos Monotonic() const override { return now; }
  Nanos Boottime() const override { return now; }
  Nanos Unix() const override { return now; }
  std::atomic<Nanos> now = 1;
};

// Opens on a thread of its own, because it may stand by for ever.
class Candidate {
 public:
  Candidate(const PgOptions& postgres, const Clock* clock, absl::Status serves = absl::OkStatus(),
            std::function<void()> leads = {})
      : serves_(std::move(serves)) {
    LedStores::Options options;
    options.postgres = postgres;
    options.ttl = kLong;
    options.clock = clock;
    options.stopped_within = [this](Nanos wait) {
      std::unique_lock lock(mutex_);
      return changed_.wait_for(lock, std::chrono::nanoseconds(wait), [&] { return stop_; });
    };
    options.stands_by = [this](const std::string& leader) {
      std::lock_guard lock(mutex_);
      told_.push_back(leader);
      changed_.notify_all();
      return serves_;
    };
    options.leads = std::move(leads);
    options.lost = [this](const absl::Status&) { lost = true; };
    thread_ = std::thread([this, options] { opened_ = LedStores::Open(options); });
  }
  ~Candidate() {
    Stop();
    if (thread_.joinable()) thread_.join();
  }
  void Stop() {
    std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  // Waits until it was told so.
  bool Hears(const std::string& leader) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60),
                             [&] { return !told_.empty() && told_.back() == leader; });
  }
  absl::StatusOr<std::unique_ptr<LedStores>>& Opened() {
    if (thread_.joinable()) thread_.join();
    return opened_;
  }
  std::vector<std::string> Told() {
    std::lock_guard lock(mutex_);
    return told_;
  }
  std::atomic<bool> lost = false;

 private:
  const absl::Status serves_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::vector<std::string> told_;
  absl::StatusOr<std::unique_ptr<LedStores>> opened_ = std::unique_ptr<LedStores>();
  std::thread thread_;
};

class LedStoresTest : public testing::Test {
 protected:
  void SetUp() override {
    RACKMARK_PG_OR_SKIP(server);
    options_ = server->NewDatabase();
  }
  PgOptions options_;
};

TEST_F(LedStoresTest, TheSecondHearsWhoLeadsAndLeadsAfterIt) {
  Candidate first(options_, &SystemClock());
  ASSERT_TRUE(first.Opened().ok()) << first.Opened().status();
  EXPECT_THAT(first.Told(), ElementsAre());  // it never stood by
  LedStores& leader = **first.Opened();
  ASSERT_TRUE(leader.events()->Append(MakeEvents(1, 2)).ok());
  Candidate second(options_, &SystemClock());
  EXPECT_TRUE(second.Hears(""));
  leader.Announce("h:1");
  EXPECT_TRUE(second.Hears("h:1"));
  EXPECT_TRUE(leader.CheckLead().ok());
  first.Opened()->reset();
  ASSERT_TRUE(second.Opened().ok()) << second.Opened().status();
  EXPECT_THAT(second.Told(), ElementsAre("", "h:1", ""));
  EXPECT_EQ((*second.Opened())->events()->last_seq(), 2U);
  EXPECT_FALSE(first.lost);
}

TEST_F(LedStoresTest, WhoStandsByEndsWhenToldToOrWhenItCannotServe) {
  Candidate first(options_, &SystemClock());
  ASSERT_TRUE(first.Opened().ok()) << first.Opened().status();
  Candidate second(options_, &SystemClock());
  EXPECT_TRUE(second.Hears(""));
  second.Stop();
  ASSERT_TRUE(second.Opened().ok()) << second.Opened().status();
  EXPECT_EQ(*second.Opened(), nullptr);
  Candidate third(options_, &SystemClock(), absl::AlreadyExistsError("planted"));
  EXPECT_TRUE(absl::IsAlreadyExists(third.Opened().status()));
}

// Between the taking of the lead and the opening of the stores.
TEST_F(LedStoresTest, WhoLosesTheLeadAtOnceEndsFencedAndForeignTablesAreABadDatabase) {
  auto other = *PgConnection::Open(options_, "test");
  const auto after = [&](const std::string& change) {
    Candidate one(options_, &SystemClock(), absl::OkStatus(),
                  [&] { EXPECT_TRUE(other->Execute(change).ok()); });
    return one.Opened().status();
  };
  const absl::Status replaced =
      after("UPDATE rackmark.leader SET term = term + 1, expires = clock_timestamp()");
  EXPECT_TRUE(absl::IsAborted(replaced)) << replaced;
  EXPECT_EQ(LedStores::ExitOf(replaced, true), kExitFenced);
  const absl::Status newer = after("UPDATE rackmark.meta SET version = 9");
  EXPECT_TRUE(absl::IsFailedPrecondition(newer)) << newer;
  EXPECT_EQ(LedStores::ExitOf(newer, true), kExitBadDatabase);
  EXPECT_EQ(LedStores::ExitOf(absl::UnavailableError("gone"), true), kExitFenced);
  EXPECT_EQ(LedStores::ExitOf(absl::UnavailableError("never there"), false), kExitBadDatabase);
  EXPECT_EQ(LedStores::ExitOf(absl::DataLossError("damaged"), true), kExitBadDatabase);
}

// Whether or not another one leads already.
TEST_F(LedStoresTest, NobodyIsAnsweredWhenTheOwnTimeIsOver) {
  SteppedClock clock;
  Candidate only(options_, &clock);
  ASSERT_TRUE(only.Opened().ok()) << only.Opened().status();
  EXPECT_TRUE((*only.Opened())->CheckLead().ok());
  clock.now += kLong;
  EXPECT_TRUE(absl::IsFailedPrecondition((*only.Opened())->CheckLead()));
}

}  // namespace
}  // namespace rackmark
