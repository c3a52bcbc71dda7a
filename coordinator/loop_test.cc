// Law 1, seen from outside: nobody hears of anything that is not on disk.
#include "coordinator/loop.h"

#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "coordinator/store/memory_store.h"
#include "coordinator/test_job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

// A store whose appends wait at a gate, or fail from the k-th on.
class GatedStore : public MemoryEventStore {
 public:
  GatedStore() : MemoryEventStore("c1") {}
  void CloseGate() {
    std::lock_guard lock(mutex_);
    open_ = false;
  }
  void OpenGate() {
    std::lock_guard lock(mutex_);
    open_ = true;
    moved_.notify_all();
  }
  void WaitUntilSomebodyIsInside() {
    std::unique_lock lock(mutex_);
    moved_.wait(lock, [this] { return inside_; });
  }
  void FailNext() { fail_ = true; }
  // From now on no snapshot fits.
  void RefuseSnapshots() { snapshots_fit_ = false; }
  int appends() const { return appends_; }

 protected:
  absl::Status DoAppend(std::span<const v1::Event> events,
                        std::span<const v1::EndedJob> ended) override {
    std::unique_lock lock(mutex_);
    inside_ = true;
    moved_.notify_all();
    moved_.wait(lock, [this] { return open_; });
    inside_ = false;
    ++appends_;
    if (fail_) return absl::InternalError("planted: fsync failed");
    return MemoryEventStore::DoAppend(events, ended);
  }
  absl::Status DoPutSnapshot(uint64_t seq, std::string_view bytes) override {
    if (!snapshots_fit_) return absl::OutOfRangeError("planted: too large for a row");
    return MemoryEventStore::DoPutSnapshot(seq, bytes);
  }

 private:
  std::mutex mutex_;
  std::condition_variable moved_;
  bool open_ = true;
  bool inside_ = false;
  std::atomic<bool> fail_ = false;
  std::atomic<bool> snapshots_fit_ = true;
  std::atomic<int> appends_ = 0;
};

v1::Principal Operator() {
  v1::Principal by;
  by.set_name("ann");
  by.set_role(v1::ROLE_OPERATOR);
  by.set_how("unix-peercred");
  return by;
}

struct Fixture {
  explicit Fixture(size_t inbox = 1024, uint64_t snapshot_events = 10'000,
                   Loop::Options options = {}) {
    options.events = &store;
    options.clock = &SystemClock();
    options.inbox_max = inbox;
    options.snapshot_events = snapshot_events;
    options.fatal = [this](const absl::Status& status) { fatal.set_value(status); };
    options.doubted = [this](const absl::Status& status) { doubts.push_back(status); };
    loop = std::make_unique<Loop>(options);
    recovered = loop->Recover("boot", "boot/1");
  }
  // The promise is kept when the reply is released.
  std::future<Outcome> Submit(const std::string& id) {
    auto promise = std::make_shared<std::promise<Outcome>>();
    auto answer = promise->get_future();
    const auto posted =
        loop->Post({Operator(), SubmitJob{MakeJob(), id}},
                   [promise](const Outcome& outcome) { promise->set_value(outcome); });
    EXPECT_TRUE(posted.ok()) << posted;
    return answer;
  }

  GatedStore store;
  std::promise<absl::Status> fatal;
  std::vector<absl::Status> doubts;  // the loop's thread
  std::unique_ptr<Loop> loop;
  absl::Status recovered;
};

bool IsReady(const std::future<Outcome>& answer) {
  return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

TEST(Loop, RecoversTheSameStateAndANewEpoch) {
  Fixture f;
  ASSERT_TRUE(f.recovered.ok()) << f.recovered;
  EXPECT_EQ(f.loop->cluster_id(), "c1");
  EXPECT_EQ(f.loop->epoch(), 1U);
  f.loop->Start();
  const auto job = std::get<Submitted>(f.Submit("s1").get().reply).job;
  f.loop->Stop();

  Loop::Options options;
  options.events = &f.store;
  options.clock = &SystemClock();
  options.inbox_max = 16;
  Loop again(options);
  ASSERT_TRUE(again.Recover("boot", "boot/2").ok());
  EXPECT_EQ(again.epoch(), 2U);
  again.Start();
  ASSERT_TRUE(again
                  .ReadAndWait([&](const State& state, Now) {
                    EXPECT_EQ(state.hard.jobs.count(job), 1U);
                    EXPECT_EQ(state.hard.incarnation, "boot/2");
                  })
                  .ok());
}

TEST(Loop, NoReplyAndNoReadBeforeTheCommit) {
  Fixture f;
  f.loop->Start();
  f.store.CloseGate();
  auto reply = f.Submit("s1");
  f.store.WaitUntilSomebodyIsInside();
  auto seen = std::make_shared<std::promise<size_t>>();
  auto read = seen->get_future();
  ASSERT_TRUE(f.loop
                  ->Read([seen](const Outcome& outcome) {
                    seen->set_value(outcome.state->hard.jobs.size());
                  })
                  .ok());
  EXPECT_FALSE(IsReady(reply));
  EXPECT_NE(read.wait_for(std::chrono::milliseconds(20)), std::future_status::ready);
  f.store.OpenGate();
  EXPECT_TRUE(reply.get().status.ok());
  EXPECT_EQ(read.get(), 1U);
}

TEST(Loop, WhatWaitedTogetherIsOneTransaction) {
  Fixture f;
  f.loop->Start();
  f.store.CloseGate();
  auto first = f.Submit("s0");
  f.store.WaitUntilSomebodyIsInside();
  std::vector<std::future<Outcome>> rest;
  for (int i = 1; i <= 50; ++i) rest.push_back(f.Submit(absl::StrCat("s", i)));
  const int before = f.store.appends();
  f.store.OpenGate();
  for (auto& answer : rest) EXPECT_TRUE(answer.get().status.ok());
  EXPECT_EQ(f.store.appends() - before, 2);  // s0's, and one for the fifty
}

TEST(Loop, ASnapshotThatIsTooLargeIsSkippedAndNothingElse) {
  Fixture f(1024, /*snapshot_events=*/1);
  f.store.RefuseSnapshots();
  f.loop->Start();
  for (const char* id : {"a", "b", "c"}) EXPECT_TRUE(f.Submit(id).get().status.ok());
  f.loop->Stop();
  Loop::Options options;
  options.events = &f.store;
  options.clock = &SystemClock();
  options.inbox_max = 16;
  Loop again(options);
  EXPECT_TRUE(again.Recover("boot", "boot/2").ok());  // from what was there before, and the log
}

TEST(Loop, AFailedCommitIsFatalAndNobodyIsAnswered) {
  Fixture f;
  f.loop->Start();
  f.store.FailNext();
  auto reply = f.Submit("s1");
  EXPECT_EQ(f.fatal.get_future().get().code(), absl::StatusCode::kInternal);
  f.loop->Stop();
  // The reply's closure is dropped with the turn, never called.
  EXPECT_THROW(reply.get(), std::future_error);
}

TEST(Loop, AFullInboxRefusesAndCounts) {
  Fixture f(2);
  f.loop->Start();
  f.store.CloseGate();
  auto inside = f.Submit("s0");
  f.store.WaitUntilSomebodyIsInside();
  auto a = f.Submit("s1");
  auto b = f.Submit("s2");
  const auto full = f.loop->Post({Operator(), SubmitJob{MakeJob(), "s3"}}, [](const Outcome&) {});
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(f.loop->refused(), 1U);
  f.store.OpenGate();
  EXPECT_TRUE(inside.get().status.ok());
  EXPECT_TRUE(a.get().status.ok());
  EXPECT_TRUE(b.get().status.ok());
}

TEST(Loop, ARefusedCommandTellsItsReasonAndWritesNothing) {
  Fixture f;
  f.loop->Start();
  const int before = f.store.appends();
  auto promise = std::make_shared<std::promise<Outcome>>();
  ASSERT_TRUE(f.loop
                  ->Post({Operator(), CancelJob{JobId{99}, "why"}},
                         [promise](const Outcome& o) { promise->set_value(o); })
                  .ok());
  EXPECT_EQ(promise->get_future().get().status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(f.store.appends(), before);
}

TEST(Loop, AfterStopEverythingIsUnavailable) {
  Fixture f;
  f.loop->Start();
  f.loop->Stop();
  EXPECT_EQ(f.loop->Read([](const Outcome&) {}).code(), absl::StatusCode::kUnavailable);
}

// For as long as the test's hour, unless something comes that waits for nobody.
TEST(Loop, ReportsOfALargeFleetWaitForOthersAndNothingElseDoes) {
  Loop::Options options;
  options.gather = 3600 * kSecond;
  options.gather_from = 0;
  Fixture f(1024, 10'000, options);
  f.loop->Start();
  f.Submit("s1").get();
  const int before = f.store.appends();
  std::vector<std::future<Outcome>> answers;
  for (const char* node : {"n1", "n2"}) {
    v1::Report report;
    report.mutable_identity()->set_incarnation(absl::StrCat("boot-of-", node, "/1"));
    report.mutable_node()->set_name(node);
    report.mutable_node()->set_boot_id(absl::StrCat("boot-of-", node));
    auto promise = std::make_shared<std::promise<Outcome>>();
    answers.push_back(promise->get_future());
    ASSERT_TRUE(f.loop
                    ->Post({Operator(), NodeReported{report, 1}},
                           [promise](const Outcome& outcome) { promise->set_value(outcome); })
                    .ok());
  }
  EXPECT_TRUE(f.Submit("s2").get().status.ok());
  for (auto& answer : answers) {
    const Outcome outcome = answer.get();
    EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  }
  EXPECT_EQ(f.store.appends(), before + 1);
}

// Any worker may say so: its word ends its own stream, and the database says whether it is true.
TEST(Loop, AReportFromAFutureEpochIsRefusedAndEndsNobodyElse) {
  Fixture f;
  f.loop->Start();
  v1::Report report;
  report.mutable_identity()->set_cluster_id("c1");
  report.mutable_identity()->set_epoch(UINT64_MAX);
  report.mutable_identity()->set_incarnation("boot/w");
  report.mutable_node()->set_name("n1");
  report.set_report_number(1);
  std::promise<absl::Status> refused;
  ASSERT_TRUE(f.loop
                  ->Post({Operator(), NodeReported{report, 1}},
                         [&](const Outcome& outcome) { refused.set_value(outcome.status); })
                  .ok());
  EXPECT_TRUE(absl::IsAborted(refused.get_future().get()));
  EXPECT_TRUE(f.Submit("after").get().status.ok());
  EXPECT_EQ(f.fatal.get_future().wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  f.loop->Stop();
  EXPECT_EQ(f.doubts.size(), 1U);
}

}  // namespace
}  // namespace rackmark
