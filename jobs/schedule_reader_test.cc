// Schedules: what the reader makes of CronJob's words, what it says of each mistake, and that the
// check of what comes over the wire refuses the same.
#include <gmock/gmock.h>

#include "jobs/document_cases.h"

namespace rackmark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Schedule, SpeaksCronJobsWords) {
  const auto schedule = Good<v1::Schedule>(kSchedule);
  EXPECT_EQ(schedule.name(), "nightly");
  EXPECT_EQ(schedule.when(), "30 1 * * *");
  EXPECT_EQ(schedule.time_zone(), "Europe/Berlin");
  EXPECT_EQ(schedule.concurrency(), v1::CONCURRENCY_POLICY_FORBID);
  EXPECT_FALSE(schedule.has_starting_deadline_ns());
  EXPECT_EQ(schedule.jitter_ns(), 0);
  EXPECT_FALSE(schedule.suspend());
  EXPECT_EQ(schedule.keep_successful(), 3u);
  EXPECT_EQ(schedule.keep_failed(), 1u);
  EXPECT_EQ(schedule.closed(0).time_zone(), "Europe/Berlin");  // the schedule's own
  EXPECT_EQ(schedule.closed(0).length_ns(), 4 * 3600 * kSecond);
  EXPECT_EQ(schedule.budget().time_zone(), "UTC");
  EXPECT_DOUBLE_EQ(schedule.budget().node_seconds(), 7200);
  EXPECT_EQ(schedule.job().name(), "nightly");
  EXPECT_EQ(schedule.job().labels().at("purpose"), "trend");
  EXPECT_TRUE(CheckSchedule(schedule, FindAnyZone).ok()) << CheckSchedule(schedule, FindAnyZone);
  EXPECT_THAT(JobsOf(schedule), testing::SizeIs(1));
  EXPECT_EQ(NameOf(schedule), "nightly");
}

TEST(Schedule, StartingDeadlineIsSecondsOrADuration) {
  for (const auto& [text, seconds] :
       std::vector<std::pair<std::string, int64_t>>{{"7200", 7200}, {"2h", 7200}, {"90s", 90}}) {
    const auto schedule = Good<v1::Schedule>(
        With(kSchedule, "maintenance:", "startingDeadlineSeconds: " + text + "\n  maintenance:"));
    EXPECT_EQ(schedule.starting_deadline_ns(), seconds * kSecond) << text;
  }
}

TEST(Schedule, TakesFilesAndSuites) {
  const size_t at = kSchedule.find("  jobTemplate:");
  const auto of_file = Good<v1::Schedule>(
      absl::StrCat(ToAbsl(kSchedule.substr(0, at)), "  jobTemplate: serve.yaml\n"));
  EXPECT_EQ(of_file.job().name(), "nightly");
  EXPECT_EQ(of_file.job().source(), kServe);
  const auto suite = Good<v1::Schedule>(
      absl::StrCat(ToAbsl(kSchedule.substr(0, at)), "  suiteTemplate: suite.yaml\n"));
  EXPECT_EQ(suite.suite().name(), "nightly");
  EXPECT_EQ(suite.suite().jobs_size(), 3);
  EXPECT_TRUE(CheckSchedule(suite, FindAnyZone).ok()) << CheckSchedule(suite, FindAnyZone);
  // What a file names is looked for beside that file.
  EXPECT_EQ(suite.suite().jobs(1).name(), "served");
  const auto inside = Good<v1::Schedule>(absl::StrCat(
      ToAbsl(kSchedule.substr(0, at)),
      "  suiteTemplate:\n    spec: {jobs: [{name: a, job: serve.yaml}, {name: b, job: {gang: "
      "{devices: 1, device: cpu}, workload: {null: {}}}}]}\n"));
  EXPECT_EQ(inside.suite().jobs(1).name(), "nightly-b");
}

TEST(Schedule, EachMistakeHasItsPlaceAndRemedy) {
  const Bad table[] = {
      {"name: nightly", "name: nightly, labels: {a: b}",
       "a.yaml:3:27: metadata.labels: unknown key; the keys here are name"},
      {"name: nightly", "name: a123456789b123456789c123456789d123456789e123456789f12",
       "is not a name; write 1 to 52 of a-z, 0-9 and -"},
      {"schedule: \"30 1 * * *\"", "schedule: \"61 1 * * *\"", "a.yaml:5:13: spec.schedule: "},
      {"schedule: \"30 1 * * *\"", "schedule: \"@every 5m\"", "a.yaml:5:13: spec.schedule: "},
      {"  schedule: \"30 1 * * *\"\n", "", "spec.schedule: is missing; write a text here"},
      {"schedule: \"30", "shcedule: \"30",
       "spec.shcedule: unknown key; did you mean \"schedule\"?"},
      {"Europe/Berlin", "Europe/Brelin",
       "a.yaml:6:13: spec.timeZone: is no time zone; did you mean"},
      {"timeZone: UTC", "timeZone: UCT", "spec.nightBudget.timeZone: is no time zone"},
      {"Forbid", "forbid",
       "spec.concurrencyPolicy: \"forbid\" is unknown; did you mean \"Forbid\""},
      {"maintenance:", "startingDeadlineSeconds: 5s\n  maintenance:",
       "spec.startingDeadlineSeconds: \"5s\" is out of range; write 10 s to"},
      {"maintenance:", "startingDeadlineSeconds: 5\n  maintenance:",
       "spec.startingDeadlineSeconds: \"5\" is out of range"},
      {"maintenance:", "startingDeadlineSeconds: soon\n  maintenance:",
       "spec.startingDeadlineSeconds: \"soon\" is not a number"},
      {"maintenance:", "jitter: 5\n  maintenance:", "spec.jitter: \"5\" has no unit"},
      {"maintenance:", "jitter: 25h\n  maintenance:", "spec.jitter: \"25h\" is out of range"},
      {"maintenance:", "suspend: yes\n  maintenance:", "spec.suspend: \"yes\" where a switch"},
      {"maintenance:", "failedJobsHistoryLimit: 1000\n  maintenance:",
       "spec.failedJobsHistoryLimit: \"1000\" is out of range"},
      {"opens: \"0 2 * * 0\", ", "", "spec.maintenance[0].opens: is missing"},
      {"\"0 2 * * 0\"", "\"0 25 * * 0\"", "a.yaml:9:15: spec.maintenance[0].opens: "},
      {"length: 4h", "length: 900h", "spec.maintenance[0].length: \"900h\" is out of range"},
      {"nodeHours: 2", "nodeHours: 0", "spec.nightBudget.nodeHours: \"0\" is out of range"},
      {"  jobTemplate:", "  jobTemplates:",
       "spec.jobTemplates: unknown key; did you mean \"jobTemplate\"?"},
      {"  jobTemplate:", "  suiteTemplate: suite.yaml\n  jobTemplate:",
       "spec.jobTemplate: stands beside suiteTemplate; keep one of them"},
      {"    spec:", "    sepc:", "spec.jobTemplate.sepc: unknown key; did you mean \"spec\"?"},
      {"devices: 1", "devices: 0",
       "a.yaml:14:23: spec.jobTemplate.spec.gang.devices: \"0\" is out of range"},
  };
  for (const Bad& bad : table) {
    EXPECT_THAT(ErrorsOf(With(kSchedule, bad.from, bad.to)), testing::Contains(HasSubstr(bad.says)))
        << bad.to;
  }
  const size_t at = kSchedule.find("  jobTemplate:");
  EXPECT_THAT(ErrorsOf(kSchedule.substr(0, at)),
              ElementsAre(HasSubstr("spec.jobTemplate: is missing; write jobTemplate or")));
  // A star begins an alias in YAML; so does @ something reserved.
  EXPECT_THAT(ErrorsOf(With(kSchedule, "\"30 1 * * *\"", "*/5 * * * *")),
              ElementsAre(HasSubstr("a.yaml:5:")));
}

TEST(Schedule, TheWireIsCheckedAsTheFileIs) {
  const v1::Schedule good = Good<v1::Schedule>(kSchedule);
  const std::pair<const char*, void (*)(v1::Schedule&)> table[] = {
      {"schedule.name", [](v1::Schedule& s) { s.set_name(std::string(53, 'a')); }},
      {"schedule.when", [](v1::Schedule& s) { s.set_when("* * *"); }},
      {"schedule.time_zone is no time zone", [](v1::Schedule& s) { s.set_time_zone("Mars"); }},
      {"schedule.concurrency",
       [](v1::Schedule& s) { s.set_concurrency(v1::CONCURRENCY_POLICY_UNKNOWN); }},
      {"schedule.starting_deadline_ns",
       [](v1::Schedule& s) { s.set_starting_deadline_ns(kSecond); }},
      {"schedule.jitter_ns", [](v1::Schedule& s) { s.set_jitter_ns(-1); }},
      {"schedule.closed.opens", [](v1::Schedule& s) { s.mutable_closed(0)->set_opens(""); }},
      {"schedule.closed.time_zone",
       [](v1::Schedule& s) { s.mutable_closed(0)->set_time_zone("Mars"); }},
      {"schedule.closed.length_ns", [](v1::Schedule& s) { s.mutable_closed(0)->set_length_ns(0); }},
      {"schedule.budget.begins", [](v1::Schedule& s) { s.mutable_budget()->set_begins("x"); }},
      {"schedule.budget.node_seconds",
       [](v1::Schedule& s) { s.mutable_budget()->set_node_seconds(0); }},
      {"schedule.keep_successful", [](v1::Schedule& s) { s.set_keep_successful(1 << 20); }},
      {"schedule.what is missing", [](v1::Schedule& s) { s.clear_job(); }},
      {"job.gang.devices",
       [](v1::Schedule& s) { s.mutable_job()->mutable_spec()->mutable_gang()->set_devices(0); }},
      {"job.part is set", [](v1::Schedule& s) { s.mutable_job()->mutable_part(); }},
      {"suite.jobs is 0", [](v1::Schedule& s) { s.mutable_suite()->set_name("a"); }},
  };
  for (const auto& [says, spoil] : table) {
    v1::Schedule schedule = good;
    spoil(schedule);
    const absl::Status status = CheckSchedule(schedule, FindAnyZone);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << says;
    EXPECT_THAT(std::string(status.message()), StartsWith(says));
  }
}

}  // namespace
}  // namespace rackmark
