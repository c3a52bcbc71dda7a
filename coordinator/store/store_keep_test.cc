// What every store must keep, and let go of: snapshots, ended jobs, samples by run.
#include <limits>
#include <string>
#include <vector>

#include "coordinator/store/store_suite.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kAll = std::numeric_limits<int32_t>::max();

// Job `id` with two runs, 10 * id and the one after.
v1::EndedJob MakeEnded(uint64_t id, int64_t ended_unix_ns) {
  v1::EndedJob ended;
  ended.mutable_job()->set_job_id(id);
  ended.mutable_job()->set_ended_unix_ns(ended_unix_ns);
  ended.mutable_job()->set_first_run_id(10 * id);
  ended.mutable_job()->set_runs_total(2);
  ended.mutable_job()->mutable_job()->set_name("n" + std::to_string(id));
  ended.mutable_job()->mutable_job()->set_source(std::string("a\0yaml", 6));
  for (uint64_t run = 10 * id; run < 10 * id + 2; ++run) {
    v1::RunRecord* record = ended.add_runs();
    record->set_run_id(run);
    record->set_job_id(id);
    record->set_attempt(3);
  }
  return ended;
}

template <typename Maker>
class KeepSuite : public StoreSuiteBase<Maker> {
 protected:
  EventStore& events() { return *this->stores_.events; }
  SampleStore& samples() { return *this->stores_.samples; }
  std::vector<uint64_t> JobIds() {
    std::vector<uint64_t> ids;
    const auto jobs = events().history().Jobs(100);
    EXPECT_TRUE(jobs.ok()) << jobs.status();
    if (!jobs.ok()) return ids;
    for (const v1::JobRecord& job : *jobs) ids.push_back(job.job_id());
    return ids;
  }
  std::vector<uint64_t> RunIds() {
    std::vector<uint64_t> ids;
    const auto runs = events().history().Runs(100);
    EXPECT_TRUE(runs.ok()) << runs.status();
    if (!runs.ok()) return ids;
    for (const v1::RunRecord& run : *runs) ids.push_back(run.run_id());
    return ids;
  }
  // Of jobs of two runs each.
  std::vector<uint64_t> FirstRuns(int64_t from, int64_t before) {
    std::vector<uint64_t> firsts;
    const auto ranges = events().history().EndedBetween(from, before);
    EXPECT_TRUE(ranges.ok()) << ranges.status();
    if (!ranges.ok()) return firsts;
    for (const History::RunRange& range : *ranges) {
      EXPECT_EQ(range.count, 2U);
      firsts.push_back(range.first);
    }
    return firsts;
  }
  void End(const std::vector<v1::EndedJob>& ended) {
    const uint64_t next = events().last_seq() + 1;
    const std::vector<v1::Event> one = {MakeEvent(next)};
    ASSERT_TRUE(events().Append(one, ended).ok());
  }
};
TYPED_TEST_SUITE(KeepSuite, StoreMakers);

TYPED_TEST(KeepSuite, TheNewestTwoSnapshotsAreKeptAndTheLogBehindThemGoes) {
  EXPECT_EQ(*this->events().Trim(kAll), 0U);
  for (uint64_t seq = 1; seq <= 9; seq += 3) {
    ASSERT_TRUE(this->events().Append(MakeEvents(seq, 3)).ok());
    EXPECT_EQ(this->events().tail_events(), 3U);
    ASSERT_TRUE(this->events().PutSnapshot("state " + std::to_string(seq + 2)).ok());
  }
  EXPECT_THAT(*this->events().Snapshots(), ElementsAre(9, 6));
  EXPECT_EQ(*this->events().GetSnapshot(6), "state 6");
  EXPECT_EQ(this->events().GetSnapshot(3).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(*this->events().Trim(4), 4U);
  EXPECT_EQ(*this->events().Trim(4), 2U);
  EXPECT_EQ(*this->events().Trim(4), 0U);
  EXPECT_THAT(this->Seqs(7), ElementsAre(7, 8, 9));
  EXPECT_EQ(this->events().Load(6, [](const v1::Event&) { return absl::OkStatus(); }).code(),
            absl::StatusCode::kDataLoss);
  ASSERT_TRUE(this->events().DropSnapshot(9).ok());
  EXPECT_THAT(*this->events().Snapshots(), ElementsAre(6));
  ASSERT_TRUE(this->events().PutSnapshot("again").ok());
  EXPECT_EQ(*this->events().GetSnapshot(9), "again");
}

TYPED_TEST(KeepSuite, EndedJobsAreListedNewestFirstAndReadWhole) {
  EXPECT_EQ(this->events().history().Count()->jobs, 0U);
  EXPECT_EQ(this->events().history().Count()->runs, 0U);
  this->End({MakeEnded(1, 100), MakeEnded(2, 50)});
  this->End({});
  this->End({MakeEnded(3, 70)});
  EXPECT_THAT(this->JobIds(), ElementsAre(3, 2, 1));
  EXPECT_THAT(this->RunIds(), ElementsAre(31, 30, 21, 20, 11, 10));
  EXPECT_EQ(this->events().history().Jobs(1)->front().job().source(), "");
  EXPECT_EQ(this->events().history().Runs(2)->size(), 2U);
  EXPECT_EQ(this->events().history().Count()->jobs, 3U);
  EXPECT_EQ(this->events().history().Count()->runs, 6U);
  const auto job = *this->events().history().Job(2);
  ASSERT_TRUE(job.has_value());
  EXPECT_EQ(job->SerializeAsString(), MakeEnded(2, 50).SerializeAsString());
  EXPECT_FALSE(this->events().history().Job(4)->has_value());
  EXPECT_EQ((*this->events().history().Run(21))->attempt(), 3U);
  EXPECT_FALSE(this->events().history().Run(22)->has_value());
  EXPECT_EQ(**this->events().history().EndedAt(31), 70);
  EXPECT_FALSE(this->events().history().EndedAt(99)->has_value());
  EXPECT_TRUE(this->events().history_complete());
}

TYPED_TEST(KeepSuite, RunsOfJobsThatEndedInASpanComeOldestFirst) {
  this->End({MakeEnded(1, 100), MakeEnded(2, 50), MakeEnded(3, 70), MakeEnded(4, 70)});
  EXPECT_THAT(this->FirstRuns(50, 100), ElementsAre(20, 30, 40));  // from on, before not
  EXPECT_THAT(this->FirstRuns(51, 101), ElementsAre(30, 40, 10));
  EXPECT_THAT(this->FirstRuns(71, 100), IsEmpty());
  EXPECT_THAT(
      this->FirstRuns(std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()),
      ElementsAre(20, 30, 40, 10));
  ASSERT_TRUE(this->events().DropHistory(60, kAll).ok());
  EXPECT_THAT(this->FirstRuns(0, 100), ElementsAre(30, 40));
}

TYPED_TEST(KeepSuite, TheOldestHistoryGoesInBoundedSteps) {
  this->End({MakeEnded(1, 100), MakeEnded(2, 50), MakeEnded(3, 70), MakeEnded(4, 500)});
  EXPECT_EQ(*this->events().DropHistory(50, kAll), 0U);
  EXPECT_EQ(*this->events().DropHistory(200, 4), 6U);  // two jobs: one would leave room
  EXPECT_EQ(*this->events().DropHistory(200, 4), 3U);
  EXPECT_EQ(*this->events().DropHistory(200, 4), 0U);
  EXPECT_THAT(this->JobIds(), ElementsAre(4));
  EXPECT_THAT(this->RunIds(), ElementsAre(41, 40));
}

TYPED_TEST(KeepSuite, ABackfillAddsRowsAndChangesNone) {
  this->End({MakeEnded(1, 100)});
  std::vector<v1::EndedJob> more = {MakeEnded(2, 7)};
  ASSERT_TRUE(this->events().Backfill(more, true).ok());
  ASSERT_TRUE(this->events().Backfill({}, true).ok());
  EXPECT_THAT(this->JobIds(), ElementsAre(2, 1));
  EXPECT_EQ(**this->events().history().EndedAt(10), 100);
  const std::vector<uint64_t> asked = {20, 99, 10};
  const auto ended = this->events().history().EndedAt(asked);
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_THAT(*ended, ElementsAre(7, std::nullopt, 100));
}

TYPED_TEST(KeepSuite, SamplesGoByRunChunksFirstAndTheMarksStayWithTheReport) {
  std::vector<v1::Chunk> chunks;
  for (uint64_t seq = 1; seq <= 40; ++seq) chunks.push_back(MakeChunk(5, 0, seq));
  chunks.push_back(MakeChunk(7, 1, 1));
  this->Put(chunks);
  EXPECT_EQ(this->Payloads(5).size(), 40U);
  ASSERT_TRUE(this->samples().PutReport(6, "report").ok());
  using RunsWith = SampleStore::RunsWith;
  const auto next = [&](uint64_t after, uint64_t max, RunsWith what) {
    return *this->samples().NextRuns(after, max, what);
  };
  EXPECT_THAT(next(0, 9, RunsWith::kChunksOrReport), ElementsAre(5, 6, 7));
  EXPECT_THAT(next(0, 2, RunsWith::kChunksOrReport), ElementsAre(5, 6));
  EXPECT_THAT(next(5, 1, RunsWith::kChunksOrReport), ElementsAre(6));
  EXPECT_THAT(next(0, 9, RunsWith::kChunks), ElementsAre(5, 7));
  EXPECT_THAT(next(5, 9, RunsWith::kChunks), ElementsAre(7));
  EXPECT_THAT(next(7, 9, RunsWith::kChunksOrReport), IsEmpty());
  const uint64_t before = *this->samples().UsedBytes();
  EXPECT_GT(before, 0U);
  EXPECT_EQ(*this->samples().DropChunks(5, 30), 30U);
  EXPECT_EQ(*this->samples().DropChunks(5, 30), 10U);
  EXPECT_EQ(*this->samples().DropChunks(5, 30), 0U);
  EXPECT_THAT(next(0, 9, RunsWith::kChunks), ElementsAre(7));
  EXPECT_LE(*this->samples().UsedBytes(), before);
  EXPECT_THAT(this->Payloads(5), IsEmpty());
  EXPECT_EQ(*this->samples().Watermark({5, 1, v1::STREAM_KIND_RANK, 0}), 40U);
  EXPECT_EQ(this->Put({MakeChunk(5, 0, 40)}).front().seq, 40U);  // a late copy is still acked
  ASSERT_TRUE(this->samples().DropReport(5).ok());
  ASSERT_TRUE(this->samples().DropReport(6).ok());
  EXPECT_EQ(*this->samples().Watermark({5, 1, v1::STREAM_KIND_RANK, 0}), 0U);
  EXPECT_FALSE(this->samples().GetReport(6)->has_value());
  EXPECT_TRUE(this->samples().Shrink(1 << 20).ok());
}

TYPED_TEST(KeepSuite, TheBytesOfAnAttemptAreThoseOfItsChunks) {
  const std::vector<v1::Chunk> chunks = {MakeChunk(1, 0, 1, std::string(100'000, 'x')),
                                         MakeChunk(1, 0, 2), MakeChunk(1, 1, 1)};
  this->Put({chunks[0], chunks[1], MakeChunk(2, 0, 1)});
  this->Put({chunks[1], chunks[2], chunks[0]});  // two of them are there already
  uint64_t bytes = 0;
  for (const v1::Chunk& chunk : chunks) bytes += chunk.ByteSizeLong();
  EXPECT_EQ(*this->samples().BytesOf(1, 1), bytes);
  EXPECT_EQ(*this->samples().BytesOf(1, 2), 0U);
  EXPECT_EQ(*this->samples().DropChunks(1, 1), 1U);
  EXPECT_LT(*this->samples().BytesOf(1, 1), bytes);
  EXPECT_EQ(*this->samples().DropChunks(1, 9), 2U);
  EXPECT_EQ(*this->samples().BytesOf(1, 1), 0U);
  EXPECT_EQ(*this->samples().BytesOf(2, 1), MakeChunk(2, 0, 1).ByteSizeLong());
}

TYPED_TEST(KeepSuite, AdoptingTakesTheNewIdAndLeavesOutWhatIsNotWanted) {
  v1::Chunk second = MakeChunk(1, 0, 1);
  second.mutable_header()->set_attempt(2);
  this->Put({MakeChunk(1, 0, 1), second, MakeChunk(2, 0, 1)});
  ASSERT_TRUE(this->samples().PutReport(1, "one").ok());
  ASSERT_TRUE(this->samples().PutReport(2, "two").ok());
  SampleStore::Wanted wanted;
  wanted.chunks = [](uint64_t run, uint32_t attempt) -> absl::StatusOr<bool> {
    return run == 1 && attempt == 1;
  };
  wanted.report = [](uint64_t run) -> absl::StatusOr<bool> { return run == 2; };
  ASSERT_TRUE(this->samples().Adopt("c2", wanted).ok());
  EXPECT_EQ(this->Payloads(1).size(), 1U);
  EXPECT_THAT(this->Payloads(1, 2), IsEmpty());
  EXPECT_EQ(*this->samples().BytesOf(1, 2), 0U);
  EXPECT_EQ(*this->samples().Watermark({2, 1, v1::STREAM_KIND_RANK, 0}), 0U);
  EXPECT_FALSE(this->samples().GetReport(1)->has_value());
  EXPECT_TRUE(this->samples().GetReport(2)->has_value());
}

TYPED_TEST(KeepSuite, WhatWasKeptIsThereAfterOpeningAgain) {
  if (!TypeParam::kLasts) GTEST_SKIP() << "memory forgets, which is what it is for";
  std::vector<v1::Event> events = MakeEvents(1, 700);
  events[600].mutable_cluster_restored()->set_cluster_id("restored");
  ASSERT_TRUE(this->events().Append(events).ok());
  this->End({MakeEnded(1, 100)});
  ASSERT_TRUE(this->events().PutSnapshot(std::string("\0state", 6)).ok());
  this->Put({MakeChunk(1, 0, 1)});
  SampleStore::Wanted all;
  all.chunks = [](uint64_t, uint32_t) -> absl::StatusOr<bool> { return true; };
  all.report = [](uint64_t) -> absl::StatusOr<bool> { return true; };
  ASSERT_TRUE(this->samples().Adopt("restored", all).ok());
  this->stores_ = {};
  this->stores_ = this->maker_.Again();
  EXPECT_EQ(this->events().cluster_id(), "restored");
  EXPECT_EQ(this->events().last_seq(), 701U);
  uint64_t count = 0;
  ASSERT_TRUE(this->events()
                  .Load(1,
                        [&](const v1::Event&) {
                          ++count;
                          return absl::OkStatus();
                        })
                  .ok());
  EXPECT_EQ(count, 701U);
  EXPECT_EQ(*this->events().GetSnapshot(701), std::string("\0state", 6));
  EXPECT_THAT(this->JobIds(), ElementsAre(1));
  EXPECT_EQ(this->Put({MakeChunk(1, 0, 2)}).front().seq, 2U);
}

}  // namespace
}  // namespace rackmark
