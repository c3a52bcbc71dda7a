#include "worker/rank/recorder.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>

#include "worker/rank/request_log.h"
#include "worker/rank/self_stats.h"
#include "worker/rank/spsc_ring.h"

namespace rackmark {
namespace {

TEST(SpscRingTest, KeepsOrderOverManyTurnsAndRefusesWhenFull) {
  SpscRing<int> ring(3);
  ASSERT_EQ(ring.capacity(), 4U);
  int out = 0;
  EXPECT_FALSE(ring.TryPop(&out));
  for (int turn = 0; turn < 10; ++turn) {
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(ring.TryPush(turn * 10 + i));
    EXPECT_FALSE(ring.TryPush(99));
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE(ring.TryPop(&out));
      EXPECT_EQ(out, turn * 10 + i);
    }
    EXPECT_FALSE(ring.TryPop(&out));
  }
}

TEST(SpscRingTest, TwoThreadsLoseNothing) {
  constexpr uint64_t kItems = 50'000;
  SpscRing<uint64_t> ring(1024);
  std::thread producer([&ring] {
    for (uint64_t i = 0; i < kItems;) {
      if (ring.TryPush(i)) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  uint64_t expected = 0;
  while (expected < kItems) {
    uint64_t item = 0;
    if (!ring.TryPop(&item)) {
      std::this_thread::yield();
      continue;
    }
    ASSERT_EQ(item, expected);
    ++expected;
  }
  producer.join();
}

TEST(RecorderTest, CountsWhatDoesNotFitByClass) {
  Recorder recorder(4);
  for (int i = 0; i < 4; ++i) recorder.Record(SeriesId::kStepCompute, i, i);
  recorder.Record(SeriesId::kStepCompute, 4, 4);
  recorder.Record(SeriesId::kStepCompute, 5, 5);
  recorder.Record(SeriesId::kRankRss, 6, 6);
  const Recorder::Dropped dropped = recorder.TakeDropped();
  EXPECT_EQ(dropped.results, 2U);
  EXPECT_EQ(dropped.telemetry, 1U);
  EXPECT_EQ(recorder.TakeDropped().results, 0U);
  Sample sample;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(recorder.Pop(&sample));
    EXPECT_EQ(sample.t_ns, i);
    EXPECT_EQ(sample.series, SeriesId::kStepCompute);
  }
  EXPECT_FALSE(recorder.Pop(&sample));
}

TEST(RecorderTest, OneSampleCostsMoreThanNothing) {
  EXPECT_GT(MeasureNsPerSample(SystemClock()), 0.5);
}

TEST(RequestLogTest, HandsOverEveryEndedRequestOnce) {
  auto table = RequestTable::Create({{1, {1, 1}}, {2, {1, 1}}, {3, {1, 1}}}, 100);
  ASSERT_TRUE(table.ok());
  RequestLog log(*std::move(table));
  uint32_t index = 9;
  EXPECT_FALSE(log.PopEnded(&index));
  log.table().Token(2, 150);
  log.End(2, 150, v1::FINISH_REASON_LENGTH);
  log.End(0, 160, v1::FINISH_REASON_UNFINISHED);
  ASSERT_TRUE(log.PopEnded(&index));
  EXPECT_EQ(index, 2U);
  EXPECT_EQ(log.ended_rows().Record(index).t_sched_ns(), 103);
  ASSERT_TRUE(log.PopEnded(&index));
  EXPECT_EQ(index, 0U);
  EXPECT_FALSE(log.PopEnded(&index));
}

TEST(SelfStatsTest, AProcessHasMemoryAndTime) {
  EXPECT_GT(ResidentBytes().value_or(0), 1U << 20);
  EXPECT_GE(CpuSeconds().value_or(-1), 0.0);
}

}  // namespace
}  // namespace rackmark
