// Laws of Decide over schedules, downtimes and failovers that are drawn from a seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "common/random.h"
#include "coordinator/schedule/decide.h"
#include "coordinator/schedule/test_schedule.h"

namespace rackmark::schedule {
namespace {

const Nanos kBegin = At("2026-10-22T00:00:00Z");  // Berlin's clocks go back on the 25th
constexpr Nanos kLength = 8 * kDay;

Schedule Draw(Random& random) {
  static constexpr const char* kWhen[] = {"30 2 * * *", "*/10 * * * *", "0 1-5 * * *",
                                          "15,45 */3 * * *", "59 23 * * 0,6"};
  Schedule s = Nightly(kWhen[random.Between(0, 4)], "Europe/Berlin");
  s.id = ScheduleId{random.Between(1, 1000)};
  s.concurrency = static_cast<Concurrency>(random.Between(0, 2));
  if (random.Between(0, 1) == 0) {
    s.starting_deadline = static_cast<Nanos>(random.Between(10, 20'000)) * kSecond;
  }
  if (random.Between(0, 1) == 0) s.jitter = static_cast<Nanos>(random.Between(1, 3600)) * kSecond;
  s.cost = {static_cast<uint32_t>(random.Between(1, 4)),
            static_cast<Nanos>(random.Between(1, 120)) * kMinute};
  if (random.Between(0, 1) == 0) s.closed.push_back({When("0 2 * * *"), s.zone, 90 * kMinute});
  if (random.Between(0, 2) == 0) s.closed.push_back({When("*/50 4-9 * * *"), s.zone, 9 * kMinute});
  if (random.Between(0, 1) == 0) {
    s.budget = Budget{When("0 18 * * *"), s.zone,
                      s.cost.Most() * static_cast<double>(random.Between(2, 9))};
  }
  return s;
}

struct Begun {
  Nanos instant, now;
  bool operator==(const Begun&) const = default;
};

// One schedule in a world: jobs that end, and a coordinator that stores what it decided.
class World {
 public:
  explicit World(const Schedule& s) : s_(s) { last_.next = kBegin; }

  // Asks at now, checks the laws of one decision, and takes it.
  void Ask(Nanos now) {
    End(now);
    Situation at{now, decided_, {}, {}};
    for (const auto& [instant, end] : running_) at.running.push_back(instant);
    at.usage = usage_;
    const Decision d = Decide(s_, at);
    ASSERT_EQ(d, Decide(s_, at));
    ASSERT_GE(d.decided, decided_);
    ASSERT_LE(d.decided, std::max(now, decided_));
    if (d.missed) {
      ASSERT_TRUE(d.missed->first > decided_ && d.missed->last <= d.decided);
      missed_ += d.missed->count;
      more_ = more_ || d.missed->more;
    }
    decided_ = d.decided;
    if (d.start) {
      ASSERT_NO_FATAL_FAILURE(Begin(now, d));
    }
    last_ = d;
  }
  // When the coordinator would ask by itself: its alarm, or the end of a job.
  std::optional<Nanos> Due() const {
    std::optional<Nanos> due = last_.next;
    for (const auto& [instant, end] : running_) due = std::min(due.value_or(end), end);
    return due;
  }
  void CheckNothingLost() const {
    if (more_) return;
    EXPECT_EQ(cron::Count(s_.when, s_.zone, kBegin, decided_, 100'000), begun_.size() + missed_);
  }
  const std::vector<Begun>& begun() const { return begun_; }

 private:
  void End(Nanos now) {
    for (auto job = running_.begin(); job != running_.end();) {
      if (job->second > now) {
        ++job;
        continue;
      }
      Stop(job->first, job->second);
      job = running_.erase(job);
    }
  }
  void Stop(Nanos instant, Nanos end) {
    for (Usage& usage : usage_) {
      if (usage.began == began_at_.at(instant) && !usage.ended) usage.ended = end;
    }
  }
  void Begin(Nanos now, const Decision& d) {
    const Nanos instant = *d.start;
    ASSERT_TRUE(names_.insert(JobName(s_.id, instant)).second) << "begun twice";
    ASSERT_EQ(cron::Next(s_.when, s_.zone, instant - 1), instant) << "no instant of the schedule";
    ASSERT_TRUE(begun_.empty() || begun_.back().instant < instant);
    ASSERT_GE(now, PlannedStart(s_, instant));
    if (s_.starting_deadline) {
      ASSERT_LE(now, PlannedStart(s_, instant) + *s_.starting_deadline);
    }
    for (const Window& window : s_.closed) {
      const auto opens = cron::Next(window.opens, window.zone, now - window.length);
      ASSERT_TRUE(!opens || *opens >= now + s_.cost.longest) << "in a maintenance window";
    }
    if (s_.concurrency == Concurrency::kForbid) {
      ASSERT_TRUE(running_.empty());
    }
    ASSERT_EQ(d.replaced.size(), s_.concurrency == Concurrency::kReplace ? running_.size() : 0);
    for (const Nanos replaced : d.replaced) {
      Stop(replaced, now);
      running_.erase(replaced);
    }
    began_at_[instant] = now;
    usage_.push_back({s_.id, now, std::nullopt, s_.cost, false});
    if (s_.budget) {
      ASSERT_LE(Committed(NightOf(*s_.budget, now), usage_, now), s_.budget->limit);
    }
    // A job runs for a time of its own, the same in every world.
    Random length(static_cast<uint64_t>(instant), 9);
    running_[instant] =
        now + 1 + static_cast<Nanos>(length.Uniform() * static_cast<double>(s_.cost.longest - 1));
    begun_.push_back({instant, now});
  }

  Schedule s_;
  Nanos decided_ = kBegin;
  Decision last_;
  std::map<Nanos, Nanos> running_, began_at_;  // by instant: its end, its begin
  std::vector<Usage> usage_;
  std::vector<Begun> begun_;
  std::set<std::string> names_;
  size_t missed_ = 0;
  bool more_ = false;
};

// Asks when it is due, and `extra` times at a moment in between, as after a failover or for
// nothing. Down: nobody asks; the clock of a successor is a little behind.
void Live(World& world, Random& random, int extra, bool downtimes) {
  Nanos now = kBegin;
  while (now < kBegin + kLength) {
    const auto due = world.Due();
    const Nanos next = std::max(now, due.value_or(kBegin + kLength));
    for (int i = 0; i < extra && next > now + 1; ++i) {
      const Nanos between =
          now + static_cast<Nanos>(random.Between(1, static_cast<uint64_t>(next - now - 1)));
      ASSERT_NO_FATAL_FAILURE(world.Ask(between));
    }
    now = next;
    if (downtimes && random.Between(0, 19) == 0) {
      now += static_cast<Nanos>(random.Between(1, 30 * 3600)) * kSecond;
    }
    ASSERT_NO_FATAL_FAILURE(world.Ask(now));
    if (downtimes) {
      ASSERT_NO_FATAL_FAILURE(world.Ask(now - 3 * kSecond));
    }
  }
}

class Seeds : public testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Drawn, Seeds, testing::Range(uint64_t{1}, uint64_t{101}));

TEST_P(Seeds, LawsHoldOverDowntimesAndFailovers) {
  Random random(GetParam(), 1);
  const Schedule s = Draw(random);
  World world(s);
  ASSERT_NO_FATAL_FAILURE(Live(world, random, 1, true));
  world.CheckNothingLost();
}

TEST_P(Seeds, AskingOftenerChangesNothing) {
  Random random(GetParam(), 2);
  const Schedule s = Draw(random);
  World calm(s), busy(s);
  ASSERT_NO_FATAL_FAILURE(Live(calm, random, 0, false));
  ASSERT_NO_FATAL_FAILURE(Live(busy, random, 3, false));
  EXPECT_EQ(calm.begun(), busy.begun());
  calm.CheckNothingLost();
  busy.CheckNothingLost();
}

// The laws above would hold for a schedule that never begins anything.
TEST(Drawn, SchedulesBeginJobs) {
  size_t begun = 0;
  for (uint64_t seed = 1; seed < 30; ++seed) {
    Random random(seed, 2);
    const Schedule s = Draw(random);
    World world(s);
    Live(world, random, 0, false);
    begun += world.begun().size();
  }
  EXPECT_GT(begun, 1000U);
}

}  // namespace
}  // namespace rackmark::schedule
