#include "coordinator/schedule/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "coordinator/schedule/history.h"
#include "coordinator/schedule/test_schedule.h"

namespace rackmark::schedule {
namespace {

const Nanos kNow = At("2026-11-21T12:00:00Z");

std::string Refusal(const Schedule& s) { return std::string(Check(s, kNow).message()); }

TEST(Check, TakesWhatCanStart) {
  Schedule s = Nightly();
  EXPECT_EQ(Refusal(s), "");
  s.starting_deadline = kStartingDeadlineMin;
  s.jitter = kJitterMax;
  s.closed = {{When("0 2 * * sat"), s.zone, 22 * kHour}};
  s.cost = {4, 2 * kHour};
  s.budget = Budget{When("0 18 * * *"), s.zone, 4.0 * 2 * kHour};
  EXPECT_EQ(Refusal(s), "");
}

TEST(Check, RefusesADeadlineThatAFailoverEats) {
  Schedule s = Nightly();
  s.starting_deadline = kStartingDeadlineMin - 1;
  EXPECT_EQ(Refusal(s),
            "startingDeadlineSeconds is less than 10, which a change of coordinators takes; write "
            "10 or more");
}

TEST(Check, RefusesJitterOutOfBounds) {
  Schedule s = Nightly();
  for (const Nanos jitter : {Nanos{-1}, kJitterMax + 1}) {
    s.jitter = jitter;
    EXPECT_EQ(Refusal(s), "jitter is not within 0 and 24 hours; write less");
  }
}

TEST(Check, RefusesAJobWithoutCost) {
  Schedule s = Nightly();
  s.cost.nodes = 0;
  EXPECT_THAT(Refusal(s), testing::HasSubstr("a job of 0 nodes"));
  s.cost = {1, 0};
  EXPECT_THAT(Refusal(s), testing::HasSubstr("time limit of up to 31 days"));
  s.cost = {1, kLongestMax + 1};
  EXPECT_THAT(Refusal(s), testing::HasSubstr("time limit of up to 31 days"));
}

TEST(Check, RefusesWindowsThatLeaveNoRoom) {
  Schedule s = Nightly();
  s.cost.longest = kHour;
  s.closed = {{When("0 * * * *"), s.zone, kMinute}};  // never an hour without one
  EXPECT_THAT(Refusal(s), testing::HasSubstr("maintenance windows leave no"));
  s.cost.longest = 59 * kMinute;
  EXPECT_EQ(Refusal(s), "");
  s.closed = {{When("@daily"), s.zone, kDay}};
  EXPECT_THAT(Refusal(s), testing::HasSubstr("shorten them, or the job"));
  for (const Nanos length : {Nanos{0}, kWindowMax + 1}) {
    s.closed = {{When("@monthly"), s.zone, length}};
    EXPECT_THAT(Refusal(s), testing::HasSubstr("write up to 31 days"));
  }
}

TEST(Check, RefusesABudgetThatOneJobExceeds) {
  Schedule s = Nightly();
  s.cost = {4, 2 * kHour};
  s.budget = Budget{When("0 18 * * *"), s.zone, 7.5 * kHour};
  EXPECT_EQ(Refusal(s),
            "budget of 7.5 node-hours is less than the 8 that one job may hold, so no job would "
            "start; raise it, or shorten the job");
  s.budget->limit = 0;
  EXPECT_THAT(Refusal(s), testing::HasSubstr("budget is 0"));
}

TEST(JobName, IsScheduleAndInstant) {
  EXPECT_EQ(JobName(ScheduleId{7}, At("2026-11-21T01:30:00Z")), "s7-20261121T013000Z");
  // One that differs in either is another job, also where an instant lies between minutes.
  EXPECT_EQ(JobName(ScheduleId{17}, At("1970-01-01T12:44:30Z")), "s17-19700101T124430Z");
}

TEST(PlannedStart, IsOfTheInstantAndNotOfWhoAsks) {
  Schedule s = Nightly("*/10 * * * *");
  s.jitter = 4 * kMinute;
  std::set<Nanos> delays;
  Nanos instant = kNow;
  for (int i = 0; i < 200; ++i, instant += 10 * kMinute) {
    const Nanos delay = PlannedStart(s, instant) - instant;
    EXPECT_GE(delay, 0);
    EXPECT_LE(delay, s.jitter);
    EXPECT_EQ(PlannedStart(s, instant), instant + delay);
    delays.insert(delay);
  }
  EXPECT_GT(delays.size(), 190U);
  EXPECT_LT(*delays.begin(), 10 * kSecond);
  EXPECT_GT(*delays.rbegin(), s.jitter - 10 * kSecond);
  Schedule other = s;
  other.id = ScheduleId{8};
  EXPECT_NE(PlannedStart(other, kNow), PlannedStart(s, kNow));
  s.jitter = 0;
  EXPECT_EQ(PlannedStart(s, kNow), kNow);
}

TEST(PlannedStart, NeverReachesTheNextInstant) {
  Schedule s = Nightly("0,5 * * * *");
  s.jitter = kJitterMax;
  for (Nanos instant = kNow; instant < kNow + 10 * kDay;) {
    const Nanos next = *cron::Next(s.when, s.zone, instant);
    EXPECT_LT(PlannedStart(s, instant), next);
    instant = next;
  }
}

TEST(BeyondHistory, KeepsTheLatestOfEachKind) {
  const std::vector<EndedJob> jobs = {{50, true}, {10, true},  {40, false}, {20, true},
                                      {30, true}, {60, false}, {70, true}};
  EXPECT_EQ(BeyondHistory(jobs, {3, 1}), (std::vector<Nanos>{10, 20, 40}));
  EXPECT_EQ(BeyondHistory(jobs, {0, 0}), (std::vector<Nanos>{10, 20, 30, 40, 50, 60, 70}));
  EXPECT_TRUE(BeyondHistory(jobs, {5, 2}).empty());
  EXPECT_TRUE(BeyondHistory({}, {0, 0}).empty());
}

}  // namespace
}  // namespace rackmark::schedule
