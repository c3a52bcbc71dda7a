// Maintenance windows and the night's budget.
#include <gtest/gtest.h>

#include "common/random.h"
#include "coordinator/schedule/test_schedule.h"

namespace rackmark::schedule {
namespace {

TEST(FreeFrom, WaitsForTheEndOfAWindow) {
  const std::vector<Window> windows = {{When("0 2 * * *"), ZoneOf("UTC"), 3 * kHour}};
  const Nanos opens = At("2026-11-21T02:00:00Z"), over = opens + 3 * kHour;
  const auto at = [&](Nanos t, Nanos length) {
    const Free free = FreeFrom(windows, t, length);
    EXPECT_TRUE(free.found);
    return free.at;
  };
  EXPECT_EQ(at(opens - kHour, kHour), opens - kHour);
  EXPECT_EQ(at(opens - kHour + 1, kHour), over);  // it would reach into it by a nanosecond
  EXPECT_EQ(at(opens, kHour), over);
  EXPECT_EQ(at(over - 1, kHour), over);
  EXPECT_EQ(at(over, kHour), over);
  EXPECT_EQ(FreeFrom({}, opens, kHour).at, opens);
}

TEST(FreeFrom, GoesOnThroughWindowsThatTouch) {
  const auto utc = ZoneOf("UTC");
  const std::vector<Window> windows = {{When("0 2 * * *"), utc, 3 * kHour},
                                       {When("0 6 * * *"), utc, kHour},
                                       {When("30 4 * * *"), utc, kHour}};
  const Nanos opens = At("2026-11-21T02:00:00Z");
  EXPECT_EQ(FreeFrom(windows, opens, 30 * kMinute).at, At("2026-11-21T05:30:00Z"));
  EXPECT_EQ(FreeFrom(windows, opens, 31 * kMinute).at, At("2026-11-21T07:00:00Z"));
}

TEST(FreeFrom, CountsOverlappingOpeningsOfOneWindow) {
  const std::vector<Window> windows = {{When("*/30 0-3 * * *"), ZoneOf("UTC"), 2 * kHour}};
  EXPECT_EQ(FreeFrom(windows, At("2026-11-21T00:10:00Z"), 1).at, At("2026-11-21T05:30:00Z"));
}

TEST(FreeFrom, EndsWhereThereIsNeverRoom) {
  const Nanos now = At("2026-11-21T02:00:00Z");
  const Free free = FreeFrom({{When("* * * * *"), ZoneOf("UTC"), kMinute}}, now, kMinute);
  EXPECT_FALSE(free.found);
  EXPECT_GT(free.at, now);
}

TEST(FreeFrom, AgreesWithEachMinuteByItself) {
  Random random(3, 1);
  const auto berlin = ZoneOf("Europe/Berlin");
  const std::vector<Window> windows = {{When("30 1 * * sat,sun"), berlin, 5 * kHour},
                                       {When("*/20 12 * * *"), berlin, 30 * kMinute},
                                       {When("0 23 * * 1-5"), berlin, 2 * kHour}};
  const Nanos begin = At("2026-10-20T00:00:00Z");
  constexpr int kMinutes = 10 * 1440;  // with the night of 25 October
  std::vector<bool> closed(kMinutes + 1440);
  for (const Window& w : windows) {
    for (Nanos at = *cron::Next(w.opens, w.zone, begin - kDay); at < begin + 11 * kDay;
         at = *cron::Next(w.opens, w.zone, at)) {
      for (Nanos t = std::max(at, begin); t < std::min(at + w.length, begin + 11 * kDay);
           t += kMinute) {
        closed[static_cast<size_t>((t - begin) / kMinute)] = true;
      }
    }
  }
  for (int i = 0; i < 2000; ++i) {
    const size_t from = random.Between(0, kMinutes - 1), length = random.Between(1, 600);
    size_t at = from;
    for (size_t clear = 0; clear < length && at + clear < closed.size();) {
      if (closed[at + clear]) {
        at += clear + 1;
        clear = 0;
      } else {
        ++clear;
      }
    }
    if (at + length > closed.size()) continue;
    EXPECT_EQ(FreeFrom(windows, begin + static_cast<Nanos>(from) * kMinute,
                       static_cast<Nanos>(length) * kMinute)
                  .at,
              begin + static_cast<Nanos>(at) * kMinute);
  }
}

Budget Evening(NodeNanos limit) { return {When("0 18 * * *"), ZoneOf("UTC"), limit}; }

TEST(NightOf, BeginsAtItsInstant) {
  const Budget budget = Evening(1);
  const Nanos six = At("2026-11-21T18:00:00Z");
  EXPECT_EQ(NightOf(budget, six - 1).begin, six - kDay);
  EXPECT_EQ(NightOf(budget, six - 1).end, six);
  EXPECT_EQ(NightOf(budget, six).begin, six);
  EXPECT_EQ(NightOf(budget, six).end, six + kDay);
}

TEST(Committed, CountsWhatBeganInTheNight) {
  const Nanos six = At("2026-11-21T18:00:00Z"), now = six + 3 * kHour;
  const Night night = {six, six + kDay};
  const Cost cost = {4, 2 * kHour};
  const auto hours = [&](const Usage& job) { return Committed(night, {job}, now) / kHour; };
  EXPECT_EQ(hours({ScheduleId{1}, six, six + kHour, cost, false}), 4);      // what it took
  EXPECT_EQ(hours({ScheduleId{1}, six - 1, six + kHour, cost, false}), 0);  // of the day
  EXPECT_EQ(hours({ScheduleId{1}, now, std::nullopt, cost, false}), 8);     // reserved
  EXPECT_EQ(hours({ScheduleId{1}, now - kHour, std::nullopt, cost, false}), 8);
  EXPECT_EQ(hours({ScheduleId{1}, six, std::nullopt, cost, false}), 12);        // overran
  EXPECT_EQ(hours({ScheduleId{1}, now - kHour, std::nullopt, cost, true}), 4);  // cancelled
  EXPECT_EQ(Committed(night, {}, now), 0);
  EXPECT_EQ(FormatNodeHours(12.5 * kHour), "12.5");
}

}  // namespace
}  // namespace rackmark::schedule
