#include "coordinator/schedule/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/schedule/test_schedule.h"

namespace rackmark::schedule {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const Nanos kTwo = At("2026-11-21T02:00:00Z");  // an instant of Nightly()
const Nanos kDecided = kTwo - kDay;             // the night before is done

Decision Ask(const Schedule& s, Nanos now, const std::vector<Nanos>& running = {}) {
  return Decide(s, {now, kDecided, running, {}});
}

TEST(Decide, BeginsAtTheInstantAndNotBefore) {
  const Schedule s = Nightly();
  const Decision before = Ask(s, kTwo - 1);
  EXPECT_EQ(before.start, std::nullopt);
  EXPECT_EQ(before.decided, kDecided);
  EXPECT_EQ(before.next, kTwo);
  const Decision at = Ask(s, kTwo);
  EXPECT_EQ(at.start, kTwo);
  EXPECT_EQ(at.decided, kTwo);
  EXPECT_EQ(at.next, kTwo + kDay);
  EXPECT_EQ(at.missed, std::nullopt);
}

TEST(Decide, BeginsAnInstantOnce) {
  const Schedule s = Nightly();
  const Decision again = Decide(s, {kTwo + 1, kTwo, {kTwo}, {}});
  EXPECT_EQ(again.start, std::nullopt);
  EXPECT_EQ(again.decided, kTwo);
  // Nor after the clock was set back, or far back.
  EXPECT_EQ(Decide(s, {kTwo - kHour, kTwo, {}, {}}).start, std::nullopt);
  EXPECT_EQ(Decide(s, {kTwo - 40 * kDay, kTwo, {}, {}}).next, kTwo + kDay);
}

TEST(Decide, HasNothingDueBeforeItWasMade) {
  const Schedule s = Nightly();
  const Decision d = Decide(s, {kTwo + kHour, kTwo + kMinute, {}, {}});
  EXPECT_EQ(d.start, std::nullopt);
  EXPECT_EQ(d.next, kTwo + kDay);
}

TEST(Decide, WaitsForTheJitterOfTheInstant) {
  Schedule s = Nightly();
  s.jitter = kHour;
  const Nanos planned = PlannedStart(s, kTwo);
  ASSERT_GT(planned, kTwo);
  EXPECT_EQ(Ask(s, planned - 1).start, std::nullopt);
  EXPECT_EQ(Ask(s, planned - 1).next, planned);
  EXPECT_EQ(Ask(s, planned).start, kTwo);
}

TEST(Decide, BeginsOnlyTheLastAfterDowntime) {
  const Schedule s = Nightly();
  const Decision d = Ask(s, kTwo + 3 * kDay + kHour);
  EXPECT_EQ(d.start, kTwo + 3 * kDay);
  EXPECT_EQ(d.missed, (Missed{kTwo, kTwo + 2 * kDay, 3, false}));
}

TEST(Decide, CountsMissedInstantsUpToABound) {
  const Schedule s = Nightly("* * * * *");
  const Decision d = Ask(s, kTwo + 10 * kSecond);
  EXPECT_EQ(d.start, kTwo);
  EXPECT_EQ(d.missed, (Missed{kDecided + kMinute, kTwo - kMinute, 100, true}));
  const Decision hundred = Decide(s, {kTwo, kTwo - 101 * kMinute, {}, {}});
  EXPECT_EQ(hundred.missed->count, 100U);
  EXPECT_FALSE(hundred.missed->more);
}

TEST(Decide, MissesWhatIsLaterThanItsDeadline) {
  Schedule s = Nightly();
  s.starting_deadline = kHour;
  EXPECT_EQ(Ask(s, kTwo + kHour).start, kTwo);
  const Decision late = Ask(s, kTwo + kHour + 1);
  EXPECT_EQ(late.start, std::nullopt);
  EXPECT_EQ(late.missed, (Missed{kTwo, kTwo, 1, false}));
  EXPECT_EQ(late.decided, kTwo);
  EXPECT_EQ(late.next, kTwo + kDay);
  // Counted from the planned start, or jitter could use up all of it.
  s.jitter = 12 * kHour;
  EXPECT_EQ(Ask(s, PlannedStart(s, kTwo) + kHour).start, kTwo);
}

TEST(Decide, AllowBeginsBesideARunningOne) {
  const Decision d = Ask(Nightly(), kTwo, {kDecided});
  EXPECT_EQ(d.start, kTwo);
  EXPECT_THAT(d.replaced, IsEmpty());
}

TEST(Decide, ForbidWaitsForTheRunningOne) {
  Schedule s = Nightly();
  s.concurrency = Concurrency::kForbid;
  const Decision held = Ask(s, kTwo, {kDecided});
  EXPECT_EQ(held.start, std::nullopt);
  EXPECT_EQ(held.held, (Held{kTwo, Hold::kRunning, std::nullopt}));
  EXPECT_EQ(held.decided, kDecided);
  EXPECT_EQ(held.next, kTwo + kDay);
  EXPECT_EQ(Ask(s, kTwo + 5 * kHour).start, kTwo);  // it has ended
  // Held until the next one is due: that one is tried then, and this one is missed.
  const Decision next = Ask(s, kTwo + kDay, {kDecided});
  EXPECT_EQ(next.missed, (Missed{kTwo, kTwo, 1, false}));
  EXPECT_EQ(next.held->instant, kTwo + kDay);
  EXPECT_EQ(next.decided, kTwo);
  s.starting_deadline = kHour;
  EXPECT_EQ(Ask(s, kTwo, {kDecided}).next, kTwo + kHour + 1);
  EXPECT_EQ(Ask(s, kTwo + kHour + 1, {kDecided}).missed->count, 1U);
}

TEST(Decide, ReplaceCancelsTheRunningOnes) {
  Schedule s = Nightly();
  s.concurrency = Concurrency::kReplace;
  const Decision d = Ask(s, kTwo, {kDecided - kDay, kDecided});
  EXPECT_EQ(d.start, kTwo);
  EXPECT_THAT(d.replaced, ElementsAre(kDecided - kDay, kDecided));
}

TEST(Decide, DecidesNothingWhileSuspended) {
  Schedule s = Nightly();
  s.suspended = true;
  const Decision d = Ask(s, kTwo + 2 * kDay);
  EXPECT_EQ(d.start, std::nullopt);
  EXPECT_EQ(d.decided, kDecided);
  EXPECT_EQ(d.next, std::nullopt);
  s.suspended = false;  // goes on: the last of what was due
  EXPECT_EQ(Ask(s, kTwo + 2 * kDay + kHour).start, kTwo + 2 * kDay);
  s.starting_deadline = kMinute;
  EXPECT_EQ(Ask(s, kTwo + 2 * kDay + kHour).start, std::nullopt);
}

TEST(Decide, KeepsOutOfMaintenanceWindows) {
  Schedule s = Nightly();
  s.closed = {{When("30 1 * * *"), s.zone, 2 * kHour}};
  const Nanos over = kTwo + 90 * kMinute;
  const Decision held = Ask(s, kTwo);
  EXPECT_EQ(held.held, (Held{kTwo, Hold::kWindow, over}));
  EXPECT_EQ(held.next, over);
  EXPECT_EQ(Ask(s, over).start, kTwo);
  s.starting_deadline = kHour;
  EXPECT_EQ(Ask(s, kTwo).next, kTwo + kHour + 1);
  EXPECT_EQ(Ask(s, over).missed->count, 1U);
  // A job that could still run when the window opens is not begun.
  s.when = When("0 1 * * *");
  s.cost.longest = 31 * kMinute;
  EXPECT_EQ(Ask(s, kTwo - kHour).held->why, Hold::kWindow);
  s.cost.longest = 30 * kMinute;
  EXPECT_EQ(Ask(s, kTwo - kHour).start, kTwo - kHour);
}

TEST(Decide, KeepsTheBudgetOfTheNight) {
  Schedule s = Nightly("0 2,4 * * *");
  s.cost = {4, kHour};
  s.budget = Budget{When("0 18 * * *"), s.zone, 10.0 * kHour};
  const Nanos four = kTwo + 2 * kHour, evening = kTwo + 16 * kHour;
  const auto ask = [&](Nanos now, const std::vector<Usage>& usage) {
    return Decide(s, {now, kTwo, {}, usage});
  };
  const Usage other = {ScheduleId{8}, kTwo - kHour, kTwo, {4, kHour}, false};
  const Usage ours = {ScheduleId{7}, kTwo, std::nullopt, {4, 3 * kHour}, false};
  EXPECT_EQ(ask(four, {other}).start, four);
  const Decision held = ask(four, {other, other});  // 8 of 10 are spent, 4 are wanted
  EXPECT_EQ(held.held, (Held{four, Hold::kBudget, evening}));
  EXPECT_EQ(held.next, kTwo + kDay > evening ? evening : kTwo + kDay);
  EXPECT_EQ(ask(four, {ours}).held->why, Hold::kBudget);  // 12 reserved
  // What this job replaces takes no more than it has: 8.
  s.concurrency = Concurrency::kReplace;
  EXPECT_EQ(ask(four, {ours}).held->why, Hold::kBudget);
  EXPECT_EQ(ask(four - 31 * kMinute, {ours}).start, std::nullopt);
  Usage shorter = ours;
  shorter.began = four - 90 * kMinute;  // 6 until now
  EXPECT_EQ(ask(four, {shorter}).start, four);
  // The next night has its own.
  EXPECT_EQ(ask(evening, {other, other}).start, four);
}

TEST(Decide, EndsWithTheCalendar) {
  const Schedule s = Nightly();
  const Decision d =
      Decide(s, {cron::kLastInstant + kDay, cron::kLastInstant - kDay - kHour, {}, {}});
  EXPECT_EQ(d.start, cron::kLastInstant - kDay + 2 * kHour);
  EXPECT_EQ(d.next, std::nullopt);
  EXPECT_EQ(Decide(s, {std::numeric_limits<Nanos>::max(), cron::kLastInstant, {}, {}}).start,
            std::nullopt);
}

}  // namespace
}  // namespace rackmark::schedule
