#include "coordinator/core/schedules.h"

#include <set>

#include "common/random.h"
#include "coordinator/core/record.h"
#include "coordinator/core/schedule_read.h"
#include "coordinator/core/test_core.h"
#include "coordinator/core/timers.h"
#include "coordinator/core/view.h"
#include "gmock/gmock.h"

namespace rackmark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Nanos kMinute = 60 * kSecond, kHour = 60 * kMinute, kDay = 24 * kHour;

// "2026-11-21T02:00:00Z"
Nanos At(const std::string& text) {
  absl::Time time;
  std::string error;
  RACKMARK_CHECK(absl::ParseTime(absl::RFC3339_full, text, &time, &error));
  return absl::ToUnixNanos(time);
}

v1::Schedule Hourly(v1::ConcurrencyPolicy policy = v1::CONCURRENCY_POLICY_ALLOW) {
  v1::Schedule schedule;
  schedule.set_name("hourly");
  schedule.set_when("0 * * * *");
  schedule.set_concurrency(policy);
  schedule.set_keep_successful(3);
  schedule.set_keep_failed(1);
  *schedule.mutable_job() = TestJob("what");
  return schedule;
}

v1::Schedule HourlySuite(v1::ConcurrencyPolicy policy) {
  v1::Schedule schedule = Hourly(policy);
  *schedule.mutable_suite()->add_jobs() = TestPart("a");
  *schedule.mutable_suite()->add_jobs() = TestPart("b", {{"a", v1::DEPENDENCY_WHEN_ANY}});
  return schedule;
}

// The instants that began, in order of the log.
std::vector<Nanos> Begun(const std::vector<v1::Event>& log) {
  std::vector<Nanos> begun;
  for (const v1::Event& event : log) {
    if (event.has_schedule_decided() && event.schedule_decided().has_start_unix_ns()) {
      begun.push_back(event.schedule_decided().start_unix_ns());
    }
  }
  return begun;
}

class SchedulesTest : public testing::Test {
 protected:
  SchedulesTest() : core_(At("2026-11-21T00:30:00Z")) {}

  ScheduleApplied Apply(const v1::Schedule& schedule) {
    return std::get<ScheduleApplied>(core_.Must(ApplySchedule{schedule}).reply);
  }
  absl::Status Refused(const v1::Schedule& schedule) {
    const absl::Status status = core_.Do(ApplySchedule{schedule}).status();
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(core_.hard().schedules.empty());
    return status;
  }
  v1::ScheduleStatus View() { return ViewSchedule(core_.state(), ScheduleId{1}, core_.clocks()); }
  const ScheduleState& State1() { return core_.hard().schedules.at(ScheduleId{1}); }

  TestCore core_;
};

TEST_F(SchedulesTest, AnInstantBeginsInOneGroup) {
  Apply(Hourly());
  const TurnResult result = core_.TickAt(At("2026-11-21T01:00:00Z"));
  ASSERT_EQ(result.events.size(), 2u);
  const v1::JobSubmitted& job = result.events[0].job_submitted();
  EXPECT_EQ(job.submission_id(), "s1-20261121T010000Z");
  EXPECT_EQ(job.job().name(), "hourly-1795222800");
  EXPECT_EQ(job.job().scheduled().schedule_id(), 1u);
  EXPECT_EQ(job.job().scheduled().instant_unix_ns(), At("2026-11-21T01:00:00Z"));
  EXPECT_EQ(result.events[0].by().name(), "tester");
  EXPECT_EQ(result.events[1].by().name(), "coordinator");
  EXPECT_EQ(result.events[1].schedule_decided().start_unix_ns(), At("2026-11-21T01:00:00Z"));
  EXPECT_EQ(ViewJob(core_.state(), JobId{1}).schedule_id(), 1u);
  EXPECT_THAT(core_.TickAt(At("2026-11-21T01:00:01Z")).events, IsEmpty());
  const v1::ScheduleStatus status = View();
  EXPECT_EQ(status.running(), 1u);
  EXPECT_EQ(status.last_job_id(), 1u);
  EXPECT_THAT(std::vector<int64_t>(status.next_unix_ns().begin(), status.next_unix_ns().end()),
              ElementsAre(At("2026-11-21T02:00:00Z"), At("2026-11-21T03:00:00Z"),
                          At("2026-11-21T04:00:00Z")));
  EXPECT_EQ(status.schedule().job().spec().runs_size(), 0);
  core_.End(JobId{1}, v1::VERDICT_PASS);
  EXPECT_EQ(View().running(), 0u);
  EXPECT_TRUE(State1().jobs.back().successful());
}

TEST_F(SchedulesTest, TheShellIsToldWhenToAskAgain) {
  Apply(Hourly());
  core_.TickAt(At("2026-11-21T00:59:59Z") + kSecond - 5);
  EXPECT_EQ(NextDeadline(core_.state()), core_.clocks().monotonic + 5);
}

TEST_F(SchedulesTest, ChangesOnlyIfChanged) {
  EXPECT_TRUE(Apply(Hourly()).changed);
  EXPECT_FALSE(Apply(Hourly()).changed);
  const Nanos made = State1().decided;
  core_.SetWall(made + 10 * kMinute);
  v1::Schedule other = Hourly();
  other.set_jitter_ns(kSecond);
  EXPECT_TRUE(Apply(other).changed);
  EXPECT_EQ(State1().decided, made);  // the rule of time is the same
  other.set_when("15 * * * *");
  EXPECT_TRUE(Apply(other).changed);
  EXPECT_EQ(State1().decided, made + 10 * kMinute);
  core_.SetWall(made);
  other.set_when("20 * * * *");
  Apply(other);
  EXPECT_EQ(State1().decided, made + 10 * kMinute);  // never back
}

TEST_F(SchedulesTest, RemovedIsRemovedAndWhatRunsGoesOn) {
  Apply(Hourly());
  core_.TickAt(At("2026-11-21T01:00:00Z"));
  core_.Must(RemoveSchedule{"hourly"});
  EXPECT_EQ(core_.Do(RemoveSchedule{"hourly"}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(core_.hard().jobs.size(), 1u);
  core_.End(JobId{1}, v1::VERDICT_PASS);
  EXPECT_THAT(core_.TickAt(At("2026-11-21T05:00:00Z")).events, IsEmpty());
  // The same name is another schedule, with keys of its own.
  EXPECT_EQ(Apply(Hourly()).schedule, ScheduleId{2});
}

TEST_F(SchedulesTest, RefusesWhatCouldNeverStart) {
  v1::Schedule schedule = Hourly();
  schedule.set_name(std::string(53, 'a'));
  EXPECT_THAT(Refused(schedule).ToString(), HasSubstr("{1,52}"));
  schedule = Hourly();
  schedule.set_when("61 * * * *");
  EXPECT_THAT(Refused(schedule).ToString(), HasSubstr("schedule: minute"));
  schedule = Hourly();
  schedule.set_time_zone("Europe/Berlinn");
  EXPECT_THAT(Refused(schedule).ToString(), HasSubstr("Europe/Berlin"));
  schedule = Hourly();
  schedule.clear_job();
  EXPECT_THAT(Refused(schedule).ToString(), HasSubstr("neither"));
  schedule = Hourly();
  schedule.mutable_job()->mutable_spec()->clear_runs();
  EXPECT_THAT(Refused(schedule).ToString(), HasSubstr("job: "));
  schedule = Hourly(v1::CONCURRENCY_POLICY_UNKNOWN);
  EXPECT_THAT(Refused(schedule).ToString(), HasSubstr("concurrency"));
  schedule = Hourly();
  schedule.mutable_budget()->set_begins("0 18 * * *");
  schedule.mutable_budget()->set_node_seconds(1);
  EXPECT_THAT(Refused(schedule).ToString(), HasSubstr("budget"));
  schedule = Hourly();
  schedule.add_closed()->set_opens("0 * * * *");
  schedule.mutable_closed(0)->set_length_ns(kHour);
  EXPECT_THAT(Refused(schedule).ToString(), HasSubstr("no job would start"));
  core_.state().config.schedule_bytes_max = 10;
  EXPECT_EQ(Refused(Hourly()).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(SchedulesTest, ItsCostIsWhatItMayTakeAtMost) {
  v1::Schedule schedule = Hourly();
  v1::JobSpec& spec = *schedule.mutable_job()->mutable_spec();
  spec.mutable_gang()->set_devices(8);
  spec.mutable_gang()->set_per_node(4);
  spec.mutable_limits()->set_attempts(2);
  spec.add_runs()->mutable_null();
  // Two runs that may each start twice, each time on a gang of its own.
  EXPECT_EQ(CostOf(schedule).nodes, 2u);
  EXPECT_EQ(CostOf(schedule).longest, 2 * 2 * (10 + 80) * kSecond);
  spec.mutable_budget()->set_wall_ns(90 * kSecond);
  EXPECT_EQ(CostOf(schedule).longest, 90 * kSecond);
  spec.mutable_gang()->clear_per_node();
  EXPECT_EQ(CostOf(schedule).nodes, 8u);
  spec.mutable_gang()->set_within(v1::WITHIN_NODE);
  EXPECT_EQ(CostOf(schedule).nodes, 1u);
  spec.clear_budget();
  spec.mutable_limits()->set_measure_ns(30 * kDay);
  EXPECT_EQ(CostOf(schedule).longest, schedule::kLongestMax);
}

TEST_F(SchedulesTest, ForbidWaitsForTheEndInTheSameTurn) {
  Apply(HourlySuite(v1::CONCURRENCY_POLICY_FORBID));
  core_.TickAt(At("2026-11-21T01:00:00Z"));
  EXPECT_EQ(core_.hard().jobs.size(), 2u);
  core_.TickAt(At("2026-11-21T02:10:00Z"));
  EXPECT_EQ(core_.hard().last_suite, 1u);
  EXPECT_THAT(View().held(), HasSubstr("2026-11-21T02:00:00Z waits for the one that runs"));
  core_.End(JobId{1}, v1::VERDICT_PASS);
  EXPECT_EQ(core_.hard().last_suite, 1u);  // a part of it, and not all
  core_.End(JobId{2}, v1::VERDICT_PASS);
  EXPECT_EQ(core_.hard().last_suite, 2u);
  EXPECT_EQ(View().held(), "");
  EXPECT_EQ(View().last_suite_id(), 2u);
  EXPECT_EQ(core_.hard().suites.at(SuiteId{2}).suite.name(), "hourly-1795226400");
}

TEST_F(SchedulesTest, ReplaceCancelsWhatIsOpenOnce) {
  Apply(HourlySuite(v1::CONCURRENCY_POLICY_REPLACE));
  core_.TickAt(At("2026-11-21T01:00:00Z"));
  core_.Must(CancelJob{JobId{2}, "by a person"});
  const TurnResult result = core_.TickAt(At("2026-11-21T02:00:00Z"));
  ASSERT_TRUE(result.events[0].has_job_cancel_requested());
  EXPECT_EQ(result.events[0].job_cancel_requested().job_id(), 1u);
  EXPECT_TRUE(result.events[1].has_suite_submitted());
  EXPECT_EQ(core_.hard().jobs.at(JobId{2}).cancel_reason, "by a person");
  EXPECT_EQ(View().running(), 2u);
}

TEST_F(SchedulesTest, ManyDueAtOnceAllBegin) {
  for (int i = 0; i < 20; ++i) {
    v1::Schedule schedule = i % 2 == 0 ? Hourly() : HourlySuite(v1::CONCURRENCY_POLICY_ALLOW);
    schedule.set_name("s" + std::to_string(i));
    Apply(schedule);
  }
  core_.TickAt(At("2026-11-21T01:00:00Z"));
  EXPECT_EQ(core_.hard().jobs.size(), 30u);
  EXPECT_EQ(core_.hard().suites.size(), 10u);
  for (const auto& [id, schedule] : core_.hard().schedules) {
    ASSERT_EQ(schedule.jobs.size(), 1u);
    const v1::ScheduledJob& job = schedule.jobs.back();
    if (job.job_id() == 0) continue;
    EXPECT_EQ(core_.hard().jobs.at(JobId{job.job_id()}).job.scheduled().schedule_id(), id.value);
  }
}

TEST_F(SchedulesTest, WithoutRoomItWaitsAndThenBegins) {
  Apply(Hourly());
  core_.Must(SubmitJob{TestJob("other"), "x"});
  core_.state().config.open_job_bytes_max = TestJob("other").ByteSizeLong() + 20;
  core_.TickAt(At("2026-11-21T01:00:00Z"));
  EXPECT_THAT(Begun(core_.log()), IsEmpty());
  EXPECT_THAT(View().held(), HasSubstr("waits for room"));
  core_.TickAt(At("2026-11-21T01:00:01Z"));
  core_.End(JobId{1}, v1::VERDICT_PASS);
  EXPECT_THAT(Begun(core_.log()), ElementsAre(At("2026-11-21T01:00:00Z")));
}

TEST_F(SchedulesTest, AStrangersSubmissionOfTheSameWordsIsAnother) {
  Apply(Hourly());
  core_.Must(SubmitJob{TestJob("mine"), "s1-20261121T010000Z"});
  core_.TickAt(At("2026-11-21T01:00:00Z"));
  EXPECT_EQ(core_.hard().jobs.size(), 2u);
  EXPECT_EQ(core_.hard().jobs.at(JobId{2}).submission_id, "s1-20261121T010000Z+");
}

TEST_F(SchedulesTest, AZoneThatThisMachineLacksHoldsItsSchedule) {
  v1::Schedule schedule = Hourly();
  schedule.set_time_zone("Europe/Berlin");
  Apply(schedule);
  core_.state().config.find_zone = nullptr;
  core_.Restart(core_.log().size());
  core_.TickAt(At("2026-11-21T03:00:00Z"));
  EXPECT_THAT(Begun(core_.log()), IsEmpty());
  EXPECT_THAT(View().held(), HasSubstr("Europe/Berlin"));
  core_.state().config.find_zone = FindZone;
  core_.Restart(core_.log().size());
  EXPECT_THAT(Begun(core_.log()), ElementsAre(At("2026-11-21T03:00:00Z")));
}

// Berlin puts its clocks on at 2026-03-29 01:00 UTC and back at 2026-10-25 01:00 UTC.
TEST_F(SchedulesTest, GapsAndRepeatsOfClocksBeginOnce) {
  for (const auto& [from, to, instant] :
       {std::tuple{"2026-03-29T00:00:00Z", "2026-03-29T04:00:00Z", "2026-03-29T01:00:00Z"},
        std::tuple{"2026-10-24T23:00:00Z", "2026-10-25T04:00:00Z", "2026-10-25T00:30:00Z"}}) {
    TestCore core{At(from)};
    v1::Schedule schedule = Hourly();
    schedule.set_when("30 2 * * *");
    schedule.set_time_zone("Europe/Berlin");
    core.Must(ApplySchedule{schedule});
    for (Nanos at = At(from); at <= At(to); at += kMinute) core.TickAt(at);
    EXPECT_THAT(Begun(core.log()), ElementsAre(At(instant)));
  }
}

// A busy day, cut after every turn: a new leader with a clock that is right, ahead or behind goes
// on, and no instant begins twice, nor is one lost that the rules let begin.
TEST_F(SchedulesTest, NeverTwiceAfterEveryPrefix) {
  const auto play = [](TestCore& core, Nanos from, Nanos to) {
    for (Nanos at = from; at <= to; at += 20 * kMinute) {
      core.TickAt(at);
      if ((at / (20 * kMinute)) % 4 != 0 || core.hard().jobs.empty()) continue;
      core.End(core.hard().jobs.begin()->first, v1::VERDICT_PASS);
    }
  };
  const Nanos begin = At("2026-11-21T00:30:00Z"), end = begin + 8 * kHour;
  TestCore whole(begin);
  whole.Must(ApplySchedule{Hourly()});
  v1::Schedule other = HourlySuite(v1::CONCURRENCY_POLICY_REPLACE);
  other.set_name("other");
  other.set_jitter_ns(5 * kMinute);
  whole.Must(ApplySchedule{other});
  play(whole, begin, end);
  ASSERT_GE(Begun(whole.log()).size(), 15u);
  for (const size_t keep : whole.ends()) {
    if (keep < 4) continue;  // both are set
    for (const Nanos skew : {Nanos{0}, -kHour, kHour}) {
      TestCore core = whole;
      core.SetWall(core.log()[keep - 1].unix_ns() + skew);
      core.Restart(keep);
      play(core, core.clocks().wall, end);
      std::set<std::pair<uint64_t, Nanos>> seen;
      for (const v1::Event& event : core.log()) {
        if (!event.has_schedule_decided() || !event.schedule_decided().has_start_unix_ns())
          continue;
        const v1::ScheduleDecided& decided = event.schedule_decided();
        EXPECT_TRUE(seen.emplace(decided.schedule_id(), decided.start_unix_ns()).second)
            << "after " << keep << " events, by " << skew;
      }
      if (skew == 0) {
        EXPECT_EQ(Begun(core.log()).size(), Begun(whole.log()).size()) << keep;
      }
    }
  }
}

TEST_F(SchedulesTest, HistoryLimitsLetGoOfTheOldest) {
  v1::Schedule schedule = Hourly();
  schedule.set_keep_successful(2);
  schedule.set_keep_failed(1);
  Apply(schedule);
  v1::Schedule suite = HourlySuite(v1::CONCURRENCY_POLICY_ALLOW);
  suite.set_name("suite");
  suite.set_keep_successful(0);
  Apply(suite);
  for (int hour = 1; hour <= 5; ++hour) {
    core_.TickAt(At("2026-11-21T00:00:00Z") + hour * kHour);
    const bool failed = hour == 2 || hour == 3;
    while (!core_.hard().jobs.empty()) {
      core_.End(core_.hard().jobs.begin()->first, failed ? v1::VERDICT_FAIL : v1::VERDICT_PASS);
    }
  }
  // Jobs 1, 4, 7, 10, 13 are the first schedule's, the others the suites': FAIL in the second hour
  // and the third.
  EXPECT_THAT(BeyondHistory(core_.state()),
              ElementsAre(JobId{1}, JobId{2}, JobId{3}, JobId{4}, JobId{5}, JobId{6}, JobId{11},
                          JobId{12}, JobId{14}, JobId{15}));
}

// Commands of all kinds in a seeded order: State stays what the log says, and a snapshot of it too.
TEST(SchedulesProperty, AnyOrderOfCommandsKeepsStateWhatTheLogSays) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Random random(seed, 0);
    TestCore core{At("2026-11-21T00:30:00Z")};
    core.Node("n1");
    for (int step = 0; step < 60; ++step) {
      const uint64_t what = random.Between(0, 9);
      const std::string name = "s" + std::to_string(random.Between(0, 2));
      const auto policy = static_cast<v1::ConcurrencyPolicy>(random.Between(0, 3));
      if (what <= 1) {
        v1::Schedule schedule = what == 0 ? Hourly(policy) : HourlySuite(policy);
        schedule.set_name(name);
        schedule.set_suspend(random.Between(0, 3) == 0);
        schedule.set_when(random.Between(0, 1) == 0 ? "*/20 * * * *" : "0 * * * *");
        (void)core.Do(ApplySchedule{schedule});
      } else if (what == 2) {
        (void)core.Do(RemoveSchedule{name});
      } else if (what == 3) {
        v1::Suite suite;
        suite.set_name(name);
        *suite.add_jobs() = TestPart("a");
        *suite.add_jobs() = TestPart("b", {{"a", v1::DEPENDENCY_WHEN_SUCCESS}});
        if (random.Between(0, 1) == 0) suite.mutable_expect()->set_node_count(1);
        (void)core.Do(SubmitSuite{suite, name + std::to_string(step % 7)});
      } else if (what == 4 && !core.hard().jobs.empty()) {
        (void)core.Do(CancelJob{core.hard().jobs.begin()->first, "chance"});
      } else if (what == 5) {
        for (RunId run : RunsToJudge(core.state())) {
          const auto verdict = static_cast<v1::Verdict>(random.Between(1, 7));
          const uint32_t attempt = core.hard().runs.at(run).attempt;
          (void)core.Do(JudgeRun{run, attempt, verdict, "hash", {}});
        }
      } else if (what == 6) {
        core.Restart(core.log().size());
        core.Node("n1");
      } else {
        const auto by = static_cast<Nanos>(random.Between(0, 40)) * kMinute;
        core.TickAt(core.clocks().wall + by - (what == 9 ? kHour : 0));
      }
    }
    State again;
    for (const v1::Event& event : core.log()) ASSERT_TRUE(Replay(again, event).ok()) << seed;
    const std::string now = TakeSnapshot(core.hard()).DebugString();
    EXPECT_EQ(TakeSnapshot(again.hard).DebugString(), now) << seed;
    const auto loaded = FromSnapshot(TakeSnapshot(core.hard()));
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(TakeSnapshot(*loaded).DebugString(), now) << seed;
    std::set<std::pair<uint64_t, Nanos>> seen;
    for (const v1::Event& event : core.log()) {
      const v1::ScheduleDecided& decided = event.schedule_decided();
      if (!decided.has_start_unix_ns()) continue;
      EXPECT_TRUE(seen.emplace(decided.schedule_id(), decided.start_unix_ns()).second) << seed;
    }
  }
}

}  // namespace
}  // namespace rackmark
