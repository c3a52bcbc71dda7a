#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "worker/load/arrivals.h"
#include "worker/load/calibration.h"
#include "worker/load/request_table.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::Load MakeLoad(v1::ArrivalProcess process, Nanos duration) {
  v1::Load load;
  load.set_requests_per_second(10);
  load.set_arrivals(process);
  load.set_duration_ns(duration);
  load.mutable_prompt_tokens()->set_min(8);
  load.mutable_prompt_tokens()->set_max(32);
  load.mutable_output_tokens()->set_min(1);
  load.mutable_output_tokens()->set_max(64);
  return load;
}

std::vector<Nanos> Offsets(const std::vector<Arrival>& schedule) {
  std::vector<Nanos> out;
  for (const Arrival& arrival : schedule) out.push_back(arrival.offset_ns);
  return out;
}

TEST(ArrivalsTest, SameSeedSameScheduleAndOtherSeedAnother) {
  const v1::Load load = MakeLoad(v1::ARRIVAL_PROCESS_POISSON, 20 * kSecond);
  const auto a = MakeSchedule(load, 50, 7);
  const auto b = MakeSchedule(load, 50, 7);
  const auto c = MakeSchedule(load, 50, 8);
  ASSERT_TRUE(a.ok() && b.ok() && c.ok());
  EXPECT_EQ(Offsets(*a), Offsets(*b));
  for (size_t i = 0; i < a->size(); ++i) {
    EXPECT_EQ((*a)[i].lengths.prompt_tokens, (*b)[i].lengths.prompt_tokens);
    EXPECT_EQ((*a)[i].lengths.output_tokens, (*b)[i].lengths.output_tokens);
  }
  EXPECT_NE(Offsets(*a), Offsets(*c));
}

// A seed means the same stream for ever: these figures may never change.
TEST(ArrivalsTest, ScheduleIsPinned) {
  const auto s = MakeSchedule(MakeLoad(v1::ARRIVAL_PROCESS_POISSON, kSecond), 3, 1);
  ASSERT_TRUE(s.ok());
  EXPECT_THAT(Offsets(*s), ElementsAre(424435479, 496803347, 540203047, 607642029));
}

TEST(ArrivalsTest, ArrivalsAscendInsideTheWindowAtTheAskedRate) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const v1::Load load = MakeLoad(v1::ARRIVAL_PROCESS_POISSON, 100 * kSecond);
    const auto schedule = MakeSchedule(load, 40, seed);
    ASSERT_TRUE(schedule.ok());
    const std::vector<Nanos> offsets = Offsets(*schedule);
    EXPECT_TRUE(std::is_sorted(offsets.begin(), offsets.end()));
    EXPECT_GE(offsets.front(), 0);
    EXPECT_LT(offsets.back(), load.duration_ns());
    // 4,000 expected; five standard deviations of a Poisson count.
    EXPECT_NEAR(static_cast<double>(offsets.size()), 4000, 5 * std::sqrt(4000.0));
    // An exponential gap has a coefficient of variation of 1; a constant one 0.
    double sum = 0;
    double squares = 0;
    for (size_t i = 1; i < offsets.size(); ++i) {
      const auto gap = static_cast<double>(offsets[i] - offsets[i - 1]);
      sum += gap;
      squares += gap * gap;
    }
    const auto n = static_cast<double>(offsets.size() - 1);
    EXPECT_NEAR(std::sqrt(squares / n - sum / n * sum / n) / (sum / n), 1.0, 0.1);
  }
}

TEST(ArrivalsTest, ConstantArrivalsDoNotDrift) {
  const auto schedule = MakeSchedule(MakeLoad(v1::ARRIVAL_PROCESS_CONSTANT, 3000 * kSecond), 3, 1);
  ASSERT_TRUE(schedule.ok());
  ASSERT_EQ(schedule->size(), 9000U);
  EXPECT_EQ(schedule->front().offset_ns, 0);
  EXPECT_NEAR(static_cast<double>(schedule->back().offset_ns), 8999.0 / 3 * 1e9, 2.0);
}

TEST(ArrivalsTest, LengthsAndArrivalsAreIndependentStreams) {
  v1::Load load = MakeLoad(v1::ARRIVAL_PROCESS_POISSON, 10 * kSecond);
  const auto a = MakeSchedule(load, 30, 5);
  load.mutable_output_tokens()->set_max(500);
  const auto other_lengths = MakeSchedule(load, 30, 5);
  const auto other_rate = MakeSchedule(load, 60, 5);
  ASSERT_TRUE(a.ok() && other_lengths.ok() && other_rate.ok());
  EXPECT_EQ(Offsets(*a), Offsets(*other_lengths));
  ASSERT_GE(other_rate->size(), 10U);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ((*a)[i].lengths.prompt_tokens, (*other_lengths)[i].lengths.prompt_tokens);
    EXPECT_EQ((*other_lengths)[i].lengths.output_tokens, (*other_rate)[i].lengths.output_tokens);
  }
}

TEST(ArrivalsTest, LengthsReachBothEndsAndTheStatedMean) {
  const v1::Load load = MakeLoad(v1::ARRIVAL_PROCESS_POISSON, kSecond);
  LengthSource source(load, 3, LengthSource::Purpose::kMeasure);
  uint32_t low = 1000;
  uint32_t high = 0;
  double sum = 0;
  for (int i = 0; i < 20000; ++i) {
    const Lengths lengths = source.Next();
    low = std::min(low, lengths.prompt_tokens);
    high = std::max(high, lengths.prompt_tokens);
    sum += lengths.output_tokens;
  }
  EXPECT_EQ(low, 8U);
  EXPECT_EQ(high, 32U);
  EXPECT_NEAR(sum / 20000, MeanOf(load).output_tokens, 0.7);
}

TEST(ArrivalsTest, RefusesWhatIsOverTheBoundBeforeItAllocates) {
  const auto schedule =
      MakeSchedule(MakeLoad(v1::ARRIVAL_PROCESS_CONSTANT, 3600 * kSecond), 1e9, 1);
  EXPECT_EQ(schedule.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(schedule.status().message()), HasSubstr("lower load.rate"));
}

TEST(ArrivalsTest, RefusesBadLoads) {
  const v1::Load good = MakeLoad(v1::ARRIVAL_PROCESS_POISSON, kSecond);
  EXPECT_TRUE(CheckLoad(good).ok());
  v1::Load load = good;
  load.mutable_prompt_tokens()->set_min(0);
  EXPECT_FALSE(CheckLoad(load).ok());
  load = good;
  load.mutable_output_tokens()->set_max(0);
  EXPECT_FALSE(CheckLoad(load).ok());
  load = good;
  load.set_duration_ns(0);
  EXPECT_FALSE(CheckLoad(load).ok());
  load = good;
  load.set_arrivals(v1::ARRIVAL_PROCESS_UNKNOWN);
  EXPECT_FALSE(CheckLoad(load).ok());
  load = good;
  load.set_requests_per_second(std::nan(""));
  EXPECT_FALSE(CheckLoad(load).ok());
  load.mutable_auto_()->set_share(0.6);
  EXPECT_FALSE(CheckLoad(load).ok());
  load.mutable_auto_()->set_calibration_ns(1);
  EXPECT_TRUE(CheckLoad(load).ok());
}

TEST(RequestTableTest, KeepsEveryStamp) {
  const std::vector<Arrival> schedule = {{10, {4, 3}}, {20, {5, 2}}, {30, {6, 1}}};
  auto table = RequestTable::Create(schedule, 1000);
  ASSERT_TRUE(table.ok());
  table->Issue(0, 1015);
  table->Issue(1, 1025);
  table->Token(0, 1100);
  table->Token(1, 1110);
  table->Token(0, 1150);
  table->Token(0, 1250);
  table->End(0, 1250, v1::FINISH_REASON_LENGTH);
  table->End(1, 2000, v1::FINISH_REASON_UNFINISHED);
  table->End(2, 2000, v1::FINISH_REASON_UNFINISHED);
  EXPECT_EQ(table->ended(), 3U);

  const v1::RequestRecord done = table->Record(0);
  EXPECT_EQ(done.t_sched_ns(), 1010);
  EXPECT_EQ(done.t_issue_ns(), 1015);
  EXPECT_EQ(done.t_first_token_ns(), 1100);
  EXPECT_EQ(done.t_last_ns(), 1250);
  EXPECT_EQ(done.t_end_ns(), 1250);
  EXPECT_THAT(done.token_delta_ns(), ElementsAre(50, 100));
  EXPECT_EQ(done.output_tokens(), 3U);
  EXPECT_FALSE(done.has_t_connected_ns());
  EXPECT_DOUBLE_EQ(table->TtftMs(0).value_or(-1), 90e-6);

  const v1::RequestRecord cut = table->Record(1);
  EXPECT_EQ(cut.finish(), v1::FINISH_REASON_UNFINISHED);
  EXPECT_EQ(cut.output_tokens(), 1U);
  EXPECT_EQ(cut.output_tokens_planned(), 2U);
  EXPECT_EQ(cut.token_delta_ns_size(), 0);
  EXPECT_FALSE(cut.has_t_end_ns());

  const v1::RequestRecord never = table->Record(2);
  EXPECT_FALSE(never.has_t_issue_ns());
  EXPECT_FALSE(never.has_t_first_token_ns());
  EXPECT_FALSE(table->TtftMs(2).has_value());
}

TEST(RequestTableTest, RefusesATableOverItsBound) {
  const std::vector<Arrival> schedule(100, {0, {1, 1U << 31}});
  EXPECT_EQ(RequestTable::Create(schedule, 0).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(RequestTableDeathTest, ATokenAfterTheEndIsOurBug) {
  const std::vector<Arrival> schedule = {{0, {1, 1}}};
  auto table = RequestTable::Create(schedule, 0);
  ASSERT_TRUE(table.ok());
  table->Token(0, 1);
  EXPECT_DEATH(table->Token(0, 2), "");
}

TEST(CalibrationTest, SteadyStateGivesTheTrueRate) {
  // An engine that ends 5 requests of 20 + 10 tokens in each second.
  Calibration calibration({20, 10});
  calibration.Step(1 << 20, 1 << 20, 1000);  // warm-up, before the interval
  calibration.Open(100 * kSecond);
  for (int i = 0; i < 8; ++i) calibration.Step(100, 50, 5);
  EXPECT_DOUBLE_EQ(*calibration.Capacity(108 * kSecond), 5.0);
}

TEST(CalibrationTest, ABurstOfEitherKindCannotInflateIt) {
  Calibration prefill({20, 10});
  prefill.Open(0);
  prefill.Step(4000, 50, 5);
  EXPECT_DOUBLE_EQ(*prefill.Capacity(kSecond), 5.0);
  Calibration decode({20, 10});
  decode.Open(0);
  decode.Step(100, 4000, 5);
  EXPECT_DOUBLE_EQ(*decode.Capacity(kSecond), 5.0);
}

TEST(CalibrationTest, StretchesUntilABatchHasEndedAndThenGivesUp) {
  Calibration calibration({20, 10});
  calibration.Open(0);
  EXPECT_FALSE(calibration.Enough(kSecond / 2, kSecond, 4));
  EXPECT_FALSE(calibration.Enough(2 * kSecond, kSecond, 4));
  EXPECT_TRUE(calibration.Enough(4 * kSecond, kSecond, 4));
  EXPECT_EQ(calibration.Capacity(4 * kSecond).status().code(),
            absl::StatusCode::kFailedPrecondition);
  calibration.Step(80, 40, 4);
  EXPECT_TRUE(calibration.Enough(kSecond, kSecond, 4));
}

Replay MakeReplay() {
  Replay replay;
  replay.requests = {{0, 10, 3, 0}, {0, 20, 5, 1}, {kSecond, 30, 1, 2}};
  replay.duration_ns = 2 * kSecond;
  replay.input_tokens = 60;
  replay.output_tokens = 9;
  return replay;
}

TEST(TraceSchedule, KeepsArrivalsOrderAndLengths) {
  const std::vector<Arrival> schedule = MakeSchedule(MakeReplay());
  EXPECT_THAT(Offsets(schedule), ElementsAre(0, 0, kSecond));
  EXPECT_EQ(schedule[1].lengths.prompt_tokens, 20u);
  EXPECT_EQ(schedule[1].lengths.output_tokens, 5u);
}

TEST(TraceSchedule, TheClosedLoopDrawsTheTracesLengthsInItsOrder) {
  LengthSource lengths(MakeReplay());
  std::vector<uint32_t> prompts;
  for (int i = 0; i < 5; ++i) prompts.push_back(lengths.Next().prompt_tokens);
  EXPECT_THAT(prompts, ElementsAre(10u, 20u, 30u, 10u, 20u));
  EXPECT_EQ(MeanOf(MakeReplay()).prompt_tokens, 20);
  EXPECT_EQ(MeanOf(MakeReplay()).output_tokens, 3);
}

TEST(TraceSchedule, CachedTokensAreMissingUnlessTheyAreSaid) {
  auto table = RequestTable::Create(MakeSchedule(MakeReplay()), 0);
  ASSERT_TRUE(table.ok());
  for (size_t i = 0; i < 2; ++i) {
    table->Issue(i, 0);
    if (i == 1) table->Cached(i, 16);
    table->Token(i, 1);
    table->End(i, 1, v1::FINISH_REASON_UNFINISHED);
  }
  EXPECT_FALSE(table->Record(0).has_cached_tokens());
  EXPECT_EQ(table->Record(1).cached_tokens(), 16u);
}

}  // namespace
}  // namespace rackmark
