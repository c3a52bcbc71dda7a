// What is let go of, and what never: with stores in memory and on disk, and a clock of the test's.
#include "coordinator/janitor.h"

#include <stdlib.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>

#include "common/sha256.h"
#include "common/test_folder.h"
#include "coordinator/core/decide.h"
#include "coordinator/store/artifact_store.h"
#include "coordinator/store/memory_store.h"
#include "coordinator/store/sql_store.h"
#include "coordinator/test_job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

// The machine's clock, and the wall's as the test wants it: the loop reads it on its own thread.
class WallClock : public Clock {
 public:
  Nanos Monotonic() const override { return SystemClock().Monotonic(); }
  Nanos Boottime() const override { return SystemClock().Boottime(); }
  Nanos Unix() const override { return SystemClock().Unix() + ahead_; }
  void Advance(Nanos by) { ahead_ += by; }

 private:
  std::atomic<Nanos> ahead_ = 0;
};

struct Fixture {
  explicit Fixture(SqlStores given) : stores(std::move(given)) {
    Loop::Options options;
    options.events = stores.events.get();
    options.clock = &wall;
    options.inbox_max = 64;
    options.snapshot_events = 5;
    options.fatal = [](const absl::Status& status) { ADD_FAILURE() << status; };
    loop = std::make_unique<Loop>(options);
    EXPECT_TRUE(loop->Recover("boot", "boot/1").ok());
    loop->Start();
    janitor.loop = loop.get();
    janitor.events = stores.events.get();
    janitor.samples = stores.samples.get();
    janitor.clock = &clock;
    janitor.storage.samples_keep = std::nullopt;
  }
  template <typename Body>
  Reply Do(Body body) {
    std::promise<Reply> promise;
    EXPECT_TRUE(loop->Post({CorePrincipal(), std::move(body)},
                           [&](const Outcome& outcome) { promise.set_value(outcome.reply); })
                    .ok());
    return promise.get_future().get();
  }
  // A job with one run, with `chunks` chunks of `bytes`; ended or open.
  RunId Add(const std::string& id, int chunks, size_t bytes, bool end) {
    const JobId job = std::get<Submitted>(Do(SubmitJob{MakeJob(), id})).job;
    const RunId run{job.value};
    std::vector<v1::Chunk> batch;
    for (int i = 1; i <= chunks; ++i) {
      v1::Chunk& chunk = batch.emplace_back();
      chunk.mutable_header()->set_run(run.value);
      chunk.mutable_header()->set_attempt(1);
      chunk.mutable_header()->set_kind(v1::STREAM_KIND_RANK);
      chunk.mutable_header()->set_seq(static_cast<uint64_t>(i));
      chunk.set_payload(std::string(bytes, 'x'));
    }
    EXPECT_TRUE(stores.samples->PutChunks(batch).ok());
    EXPECT_TRUE(stores.samples->PutReport(run.value, "report").ok());
    if (end) {
      Do(CancelJob{job, "enough"});
      Do(JudgeRun{run, 0, v1::VERDICT_CANCELLED, "hash", {}});
    }
    return run;
  }
  Janitor::Swept Sweep() {
    const auto swept = Janitor::Sweep(
        janitor, [] { return true; }, progress);
    EXPECT_TRUE(swept.ok()) << swept.status();
    return swept.ok() ? *swept : Janitor::Swept{};
  }
  uint64_t BytesOf(RunId run) { return *stores.samples->BytesOf(run.value, 1); }
  bool HasReport(RunId run) { return stores.samples->GetReport(run.value)->has_value(); }

  SqlStores stores;
  ManualClock clock{SystemClock().Unix()};
  WallClock wall;
  std::unique_ptr<Loop> loop;
  Janitor::Options janitor;
  Janitor::Progress progress;
};

struct MemoryMaker {
  SqlStores Make() {
    return {std::make_unique<MemoryEventStore>("c1"), std::make_unique<MemorySampleStore>()};
  }
};
struct SqlMaker {
  SqlStores Make() {
    const std::string folder = TestFolders::New("rm_janitor");
    return *OpenSqlStores(folder);
  }
};
template <typename Maker>
class JanitorSuite : public testing::Test {
 protected:
  Fixture f_{Maker().Make()};
};
using Makers = testing::Types<MemoryMaker, SqlMaker>;
TYPED_TEST_SUITE(JanitorSuite, Makers);

TYPED_TEST(JanitorSuite, ByAgeSamplesGoFirstThenReportsThenTheHistory) {
  Fixture& f = this->f_;
  const RunId old = f.Add("old", 200, 100, true);
  const RunId open = f.Add("open", 3, 100, false);
  StorageConfig& keep = f.janitor.storage;
  keep.samples_keep = 60 * kSecond;
  keep.reports_keep = 120 * kSecond;
  keep.history_keep = 180 * kSecond;
  ASSERT_TRUE(CheckStorage(keep).ok());

  EXPECT_EQ(f.Sweep().chunks, 0U);
  f.clock.Advance(61 * kSecond);
  EXPECT_EQ(f.Sweep().chunks, 200U);
  EXPECT_EQ(f.BytesOf(old), 0U);
  EXPECT_TRUE(f.HasReport(old));
  // A late copy of its last chunk is still acked to its end.
  EXPECT_EQ(*f.stores.samples->Watermark({old.value, 1, v1::STREAM_KIND_RANK, 0}), 200U);

  f.clock.Advance(60 * kSecond);
  EXPECT_EQ(f.Sweep().reports, 1U);
  EXPECT_FALSE(f.HasReport(old));
  EXPECT_TRUE(f.stores.events->history().Job(old.value)->has_value());

  f.clock.Advance(60 * kSecond);
  EXPECT_EQ(f.Sweep().history, 2U);  // a job and a run
  EXPECT_FALSE(f.stores.events->history().Job(old.value)->has_value());
  // Nothing of an open job was touched, however old it is.
  EXPECT_GT(f.BytesOf(open), 0U);
  EXPECT_TRUE(f.HasReport(open));
  const Janitor::Swept again = f.Sweep();
  EXPECT_EQ(again.chunks + again.reports + again.history, 0U);
}

TYPED_TEST(JanitorSuite, SamplesBeyondTheHistoryOfTheirScheduleGoAndReportsStay) {
  Fixture& f = this->f_;
  v1::Schedule schedule;
  schedule.set_name("hourly");
  schedule.set_when("0 * * * *");
  schedule.set_concurrency(v1::CONCURRENCY_POLICY_ALLOW);
  schedule.set_keep_successful(1);
  schedule.set_keep_failed(1);
  *schedule.mutable_job() = MakeJob();
  f.Do(ApplySchedule{schedule});
  const RunId other = f.Add("other", 2, 100, true);
  for (uint64_t run = 2; run <= 3; ++run) {
    f.wall.Advance(3600 * kSecond);
    f.Do(Tick{});
    std::vector<v1::Chunk> batch(1);
    v1::Chunk& chunk = batch.front();
    chunk.mutable_header()->set_run(run);
    chunk.mutable_header()->set_attempt(1);
    chunk.mutable_header()->set_kind(v1::STREAM_KIND_RANK);
    chunk.mutable_header()->set_seq(1);
    chunk.set_payload("x");
    EXPECT_TRUE(f.stores.samples->PutChunks(batch).ok());
    EXPECT_TRUE(f.stores.samples->PutReport(run, "report").ok());
    f.Do(CancelJob{JobId{run}, "enough"});
    f.Do(JudgeRun{RunId{run}, 0, v1::VERDICT_CANCELLED, "hash", {}});
  }
  EXPECT_EQ(f.Sweep().chunks, 1U);  // of two that failed the later one is kept
  EXPECT_EQ(f.BytesOf(RunId{2}), 0U);
  EXPECT_TRUE(f.HasReport(RunId{2}));
  EXPECT_GT(f.BytesOf(RunId{3}), 0U);
  EXPECT_GT(f.BytesOf(other), 0U);
  EXPECT_EQ(f.Sweep().chunks, 0U);
}

// What has been looked at is not looked at again; a late chunk is found when all is.
TYPED_TEST(JanitorSuite, OnlyWhatHasComeToItsAgeIsVisited) {
  Fixture& f = this->f_;
  f.janitor.storage.samples_keep = 60 * kSecond;
  const RunId first = f.Add("first", 3, 100, true);
  f.Sweep();
  f.clock.Advance(61 * kSecond);
  EXPECT_EQ(f.Sweep().chunks, 3U);
  v1::Chunk late;
  late.mutable_header()->set_run(first.value);
  late.mutable_header()->set_attempt(1);
  late.mutable_header()->set_kind(v1::STREAM_KIND_RANK);
  late.mutable_header()->set_seq(4);
  ASSERT_TRUE(f.stores.samples->PutChunks({&late, 1}).ok());
  f.clock.Advance(60 * kSecond);
  EXPECT_EQ(f.Sweep().chunks, 0U);
  f.clock.Advance(Janitor::kLookAtAll);
  EXPECT_EQ(f.Sweep().chunks, 1U);
  EXPECT_TRUE(f.HasReport(first));
}

TYPED_TEST(JanitorSuite, AChunkThatCameWhenItsRunsHistoryHadGoneIsLetGoOf) {
  Fixture& f = this->f_;
  StorageConfig& keep = f.janitor.storage;
  keep.samples_keep = keep.reports_keep = keep.history_keep = 60 * kSecond;
  const RunId gone = f.Add("gone", 2, 100, true);
  const RunId open = f.Add("open", 2, 100, false);
  f.clock.Advance(61 * kSecond);
  EXPECT_EQ(f.Sweep().history, 2U);
  v1::Chunk late;
  late.mutable_header()->set_run(gone.value);
  late.mutable_header()->set_attempt(1);
  late.mutable_header()->set_kind(v1::STREAM_KIND_RANK);
  late.mutable_header()->set_seq(3);
  ASSERT_TRUE(f.stores.samples->PutChunks({&late, 1}).ok());
  f.clock.Advance(Janitor::kLookAtAll);
  const Janitor::Swept swept = f.Sweep();
  EXPECT_EQ(swept.orphans, 1U);
  EXPECT_EQ(swept.chunks, 1U);
  EXPECT_EQ(f.BytesOf(gone), 0U);
  EXPECT_EQ(*f.stores.samples->Watermark({gone.value, 1, v1::STREAM_KIND_RANK, 0}), 0U);
  EXPECT_GT(f.BytesOf(open), 0U);
  EXPECT_EQ(f.Sweep().orphans, 0U);
}

TYPED_TEST(JanitorSuite, BySizeTheOldestSamplesGoAndOpenJobsNever) {
  Fixture& f = this->f_;
  constexpr size_t kChunk = 64 << 10;
  const RunId open = f.Add("open", 16, kChunk, false);  // 1 MiB, the oldest
  std::vector<RunId> ended;
  for (int i = 0; i < 4; ++i) ended.push_back(f.Add(absl::StrCat("s", i), 16, kChunk, true));
  f.janitor.storage.samples_bytes = 3'500'000;
  f.Sweep();
  EXPECT_GT(f.BytesOf(open), 0U);
  EXPECT_EQ(f.BytesOf(ended[0]), 0U);
  EXPECT_EQ(f.BytesOf(ended[1]), 0U);
  EXPECT_GT(f.BytesOf(ended[3]), 0U);
  EXPECT_LE(*f.stores.samples->UsedBytes(), 3'500'000U);
  f.janitor.storage.samples_bytes = 1 << 20;  // less than the open job has
  f.Sweep();
  EXPECT_EQ(f.BytesOf(ended[3]), 0U);
  EXPECT_GT(f.BytesOf(open), 0U);
  for (const RunId run : ended) EXPECT_TRUE(f.HasReport(run));
}

TYPED_TEST(JanitorSuite, TheLogIsCutBehindTheOlderSnapshot) {
  Fixture& f = this->f_;
  for (int i = 0; i < 5; ++i) f.Add(absl::StrCat("s", i), 1, 10, true);
  EXPECT_GT(f.Sweep().events, 5U);
  EXPECT_EQ(f.Sweep().events, 0U);
  State state;
  ASSERT_TRUE(f.loop
                  ->ReadAndWait([&](const State&, Now) {
                    const auto seqs = *f.stores.events->Snapshots();
                    ASSERT_EQ(seqs.size(), 2U);
                    uint64_t first = 0;
                    (void)f.stores.events->Load(seqs.back() + 1, [&](const v1::Event& event) {
                      first = event.seq();
                      return absl::CancelledError("enough");
                    });
                    EXPECT_EQ(first, seqs.back() + 1);
                  })
                  .ok());
}

// Asked in batches; its answers fail as the test says.
class AskedSamples : public MemorySampleStore {
 public:
  std::atomic<int> asked = 0;
  std::atomic<int> unread = 0;  // so many questions fail, and may pass
  std::atomic<bool> broken = false;
  std::promise<void> answered;  // the first question that was

 protected:
  absl::StatusOr<std::vector<uint64_t>> DoNextRuns(uint64_t after, uint64_t max,
                                                   RunsWith what) override {
    ++asked;
    if (unread-- > 0) return absl::UnavailableError("planted: the database is away");
    if (!std::exchange(told_, true)) answered.set_value();
    return MemorySampleStore::DoNextRuns(after, max, what);
  }
  absl::StatusOr<uint64_t> DoDropChunks(uint64_t run, uint64_t max) override {
    if (broken) return absl::UnavailableError("planted: whether it was done is unknown");
    return MemorySampleStore::DoDropChunks(run, max);
  }

 private:
  bool told_ = false;
};

struct AskedFixture {
  AskedSamples* const samples = new AskedSamples;
  Fixture f{{std::make_unique<MemoryEventStore>("c1"), std::unique_ptr<SampleStore>(samples)}};
};

// A million runs of the past are a thousand questions, and none where only reports are left.
TEST(Janitor, RunsAreLookedAtInBatchesAndReportsThatStayNotAtAll) {
  AskedFixture a;
  std::vector<v1::Chunk> chunks(2500);
  for (uint64_t run = 1; run <= 2500; ++run) {
    ASSERT_TRUE(a.samples->PutReport(run, "report").ok());
    chunks[run - 1].mutable_header()->set_run(run);
    chunks[run - 1].mutable_header()->set_attempt(1);
    chunks[run - 1].mutable_header()->set_seq(1);
  }
  a.f.Sweep();
  EXPECT_EQ(a.samples->asked, 1);
  ASSERT_TRUE(a.samples->PutChunks(chunks).ok());
  a.samples->asked = 0;
  a.f.progress = {};
  a.f.Sweep();
  EXPECT_EQ(a.samples->asked, 4);  // the last one finds none
}

TEST(Janitor, TheFirstSweepIsAnIntervalAfterTheStart) {
  AskedFixture a;
  a.f.janitor.storage.sweep_interval = 3600 * kSecond;
  Janitor janitor(a.f.janitor);
  EXPECT_EQ(a.samples->answered.get_future().wait_for(std::chrono::milliseconds(50)),
            std::future_status::timeout);
  janitor.Stop();
  EXPECT_EQ(a.samples->asked, 0);
}

TEST(Janitor, WhatCannotBeReadWaitsForTheNextSweep) {
  AskedFixture a;
  a.samples->unread = 2;
  a.f.janitor.storage.sweep_interval = kMillisecond;
  a.f.janitor.fatal = [](const absl::Status& status) { ADD_FAILURE() << status; };
  Janitor janitor(a.f.janitor);
  a.samples->answered.get_future().wait();
  janitor.Stop();
  EXPECT_GE(a.samples->asked, 3);
}

TEST(Janitor, AWriteThatFailedSoEndsTheProcess) {
  AskedFixture a;
  a.f.Add("old", 1, 10, true);
  a.f.clock.Advance(61 * kSecond);
  a.samples->broken = true;
  a.f.janitor.storage.samples_keep = 60 * kSecond;
  a.f.janitor.storage.sweep_interval = kMillisecond;
  std::promise<absl::Status> fatal;
  a.f.janitor.fatal = [&](const absl::Status& status) { fatal.set_value(status); };
  Janitor janitor(a.f.janitor);
  EXPECT_TRUE(absl::IsUnavailable(fatal.get_future().get()));
}

// What was let go of makes room: the file shrinks, and does not grow past its bound over many
// rounds.
TEST(Janitor, TheSizeIsAskedForAgainOnlyWhereSomethingWasDropped) {
  struct Counting : MemorySampleStore {
    absl::StatusOr<uint64_t> DoUsedBytes() override {
      ++asked;
      return MemorySampleStore::DoUsedBytes();
    }
    int asked = 0;
  };
  auto samples = std::make_unique<Counting>();
  Counting* const counting = samples.get();
  Fixture f({std::make_unique<MemoryEventStore>("c1"), std::move(samples)});
  for (const char* id : {"a", "b", "c"}) f.Add(id, 0, 0, true);
  f.Add("d", 2, 100, true);
  f.janitor.storage.samples_bytes = 1;
  f.Sweep();
  EXPECT_EQ(counting->asked, 2);
}

TEST(Janitor, TheFileOfTheSamplesIsReallyBounded) {
  const std::string folder = TestFolders::New("rm_janitor");
  Fixture f(*OpenSqlStores(folder));
  f.janitor.storage.samples_bytes = 2 << 20;
  uint64_t given_back = 0;
  for (int round = 0; round < 8; ++round) {
    f.Add(absl::StrCat("s", round), 48, 64 << 10, true);  // 3 MiB each
    given_back += f.Sweep().bytes;
    EXPECT_LE(*f.stores.samples->UsedBytes(), 2U << 20) << round;
  }
  EXPECT_GT(given_back, 8U << 20);
}

// The bound of the files is no dead end: what no open job needs makes room for the next.
TEST(Janitor, FilesThatNoOpenJobNeedsMakeRoom) {
  Fixture f({std::make_unique<MemoryEventStore>("c1"), std::make_unique<MemorySampleStore>()});
  const std::string folder = TestFolders::New("rm_janitor");
  ArtifactStore::Options options;
  options.folder = folder;
  options.total_bytes_max = 300;
  options.bytes_max = 100;
  const auto store = *ArtifactStore::Open(options);
  f.janitor.artifacts = store.get();
  const auto put = [&](char fill) {
    const std::string content(100, fill);
    const std::string hash = Sha256Hex(content);
    auto upload = store->Begin(hash, content.size());
    EXPECT_TRUE(upload.ok() && (*upload)->Append(content).ok() && (*upload)->Commit().ok());
    return hash;
  };
  const std::string needed = put('n'), old = put('o'), fresh = put('f');
  v1::Job job = MakeJob();
  job.mutable_spec()->add_runs()->mutable_serve()->mutable_load()->mutable_trace()->set_sha256(
      needed);
  f.Do(SubmitJob{job, "open"});
  EXPECT_EQ(f.Sweep().artifacts, 0U);  // just uploaded: their job may be on its way
  f.clock.Advance(2 * ArtifactStore::kSparedFor);
  EXPECT_EQ(f.Sweep().artifacts, 1U);
  EXPECT_TRUE(store->Find(needed).has_value());
  EXPECT_FALSE(store->Find(old).has_value());  // the longest unused
  EXPECT_TRUE(store->Find(fresh).has_value());
  EXPECT_TRUE(store->Begin(Sha256Hex("next"), 100).ok());
}

TEST(Storage, AgesAndTheirRelations) {
  EXPECT_EQ(**ParseAge("90d"), 90LL * 24 * 3600 * kSecond);
  EXPECT_EQ(**ParseAge("12h"), 12LL * 3600 * kSecond);
  EXPECT_FALSE(ParseAge("forever")->has_value());
  for (const char* text : {"", "5", "d", "-1d", "0h", "1w", "99999999d", "1d "}) {
    EXPECT_FALSE(ParseAge(text).ok()) << text;
  }
  for (const char* text : {"90d", "36h", "90s", "forever"}) {
    EXPECT_EQ(FormatAge(*ParseAge(text)), text);
  }
  StorageConfig config;
  EXPECT_TRUE(CheckStorage(config).ok());
  config.samples_keep = std::nullopt;
  EXPECT_TRUE(CheckStorage(config).ok());
  config.reports_keep = kSecond;
  EXPECT_THAT(std::string(CheckStorage(config).message()), HasSubstr("--keep-samples (forever)"));
  config.samples_keep = kSecond;
  EXPECT_TRUE(CheckStorage(config).ok());
  config.history_keep = kSecond / 2;
  EXPECT_THAT(std::string(CheckStorage(config).message()), HasSubstr("--keep-history"));
  config = {};
  config.samples_bytes = 100;
  EXPECT_FALSE(CheckStorage(config).ok());
}

}  // namespace
}  // namespace rackmark
