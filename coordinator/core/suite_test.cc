#include "coordinator/core/suite.h"

#include "coordinator/core/test_core.h"
#include "coordinator/core/timers.h"
#include "coordinator/core/view.h"
#include "gmock/gmock.h"

namespace rackmark {
namespace {

using testing::HasSubstr;

constexpr v1::DependencyWhen kSuccess = v1::DEPENDENCY_WHEN_SUCCESS;
constexpr v1::DependencyWhen kAny = v1::DEPENDENCY_WHEN_ANY;

v1::Suite Of(const std::vector<v1::Job>& jobs) {
  v1::Suite suite;
  suite.set_name("night");
  for (const v1::Job& job : jobs) *suite.add_jobs() = job;
  return suite;
}

v1::Job Gate(v1::Job job) {
  job.mutable_part()->set_gate(true);
  return job;
}

class SuiteTest : public testing::Test {
 protected:
  SuiteAccepted Submit(const v1::Suite& suite, const std::string& id = "s") {
    return std::get<SuiteAccepted>(core_.Must(SubmitSuite{suite, id}).reply);
  }
  absl::Status Refused(const v1::Suite& suite) {
    const absl::Status status = core_.Do(SubmitSuite{suite, "refused"}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(core_.hard().suites.empty());
    EXPECT_TRUE(core_.hard().jobs.empty());
    return status;
  }
  const JobState& Job(uint64_t id) { return core_.hard().jobs.at(JobId{id}); }
  bool IsOver(uint64_t id) { return core_.hard().jobs.count(JobId{id}) == 0; }
  v1::SuiteOutcome Outcome(uint64_t id = 1) { return core_.hard().suites.at(SuiteId{id}).outcome; }
  // All that was skipped goes through the judge.
  void JudgeSkipped() {
    for (RunId run : RunsToJudge(core_.state())) {
      core_.Must(JudgeRun{run, 0, v1::VERDICT_SKIPPED, "hash", {}});
    }
  }

  TestCore core_;
};

TEST_F(SuiteTest, IsSubmittedOnceAndWhole) {
  v1::Suite suite = Of({TestPart("a"), TestPart("b", {{"a", kSuccess}})});
  suite.set_source("kind: Suite");
  suite.set_source_sha256("abc");
  suite.mutable_scheduled()->set_schedule_id(7);  // only schedules may say so
  const TurnResult result = core_.Must(SubmitSuite{suite, "s"});
  ASSERT_EQ(result.events.size(), 3u);
  const v1::SuiteSubmitted& change = result.events[0].suite_submitted();
  EXPECT_EQ(change.suite().jobs_size(), 2);
  EXPECT_FALSE(change.suite().jobs(0).has_spec());
  EXPECT_EQ(change.suite().source(), "");
  EXPECT_EQ(change.suite().source_sha256(), "abc");
  EXPECT_FALSE(change.suite().has_scheduled());
  EXPECT_EQ(result.events[1].job_submitted().submission_id(), "s/a");
  EXPECT_EQ(result.events[2].job_submitted().job().part().suite_id(), 1u);
  EXPECT_EQ(result.events[2].job_submitted().first_run_id(), 2u);
  const SuiteAccepted again = Submit(suite);
  EXPECT_TRUE(again.already);
  EXPECT_EQ(again.first_job, JobId{1});
  EXPECT_EQ(core_.hard().jobs.size(), 2u);
  const v1::JobStatus status = ViewJob(core_.state(), JobId{2});
  EXPECT_EQ(status.suite_id(), 1u);
  EXPECT_EQ(status.part(), "b");
  ASSERT_EQ(status.waiting_reasons_size(), 1);
  EXPECT_EQ(status.waiting_reasons(0), "waits for part a to end");
}

TEST_F(SuiteTest, RefusesWhatItCannotReasonAbout) {
  EXPECT_THAT(Refused(Of({})).ToString(), HasSubstr("must be 1 to 100"));
  EXPECT_THAT(Refused(Of(std::vector<v1::Job>(101, TestPart("a")))).ToString(),
              HasSubstr("must be 1 to 100"));
  EXPECT_THAT(Refused(Of({TestPart("a"), TestPart("a")})).ToString(), HasSubstr("called a"));
  EXPECT_THAT(Refused(Of({TestPart("A b")})).ToString(), HasSubstr("part.name"));
  EXPECT_THAT(Refused(Of({TestPart("a", {{"b", kAny}}), TestPart("b")})).ToString(),
              HasSubstr("no part before it"));
  EXPECT_THAT(Refused(Of({TestPart("a", {{"a", kAny}})})).ToString(), HasSubstr("no part before"));
  EXPECT_THAT(
      Refused(Of({TestPart("a"), TestPart("b", {{"a", v1::DEPENDENCY_WHEN_UNKNOWN}})})).ToString(),
      HasSubstr("DEPENDENCY_WHEN_UNKNOWN"));
  v1::Suite suite = Of({TestPart("a")});
  suite.mutable_jobs(0)->mutable_spec()->clear_runs();
  EXPECT_THAT(Refused(suite).ToString(), HasSubstr("part a: "));
  suite = Of({TestPart("a")});
  suite.mutable_expect()->set_wait_ns(60 * kSecond + 1);
  EXPECT_THAT(Refused(suite).ToString(), HasSubstr("60 s"));
  suite.mutable_expect()->set_wait_ns(0);
  suite.mutable_expect()->set_driver(std::string(1 << 20, 'x'));
  EXPECT_THAT(Refused(suite).ToString(), HasSubstr("1 MiB"));
  suite.mutable_expect()->clear_driver();
  suite.mutable_expect()->add_nodes("n1");
  suite.mutable_expect()->set_node_count(2);
  EXPECT_THAT(Refused(suite).ToString(), HasSubstr("1 nodes are named"));
}

TEST_F(SuiteTest, ItsJobsNeedRoomAndNamesOfTheirOwn) {
  core_.Must(SubmitJob{TestJob("x"), "s/a"});
  EXPECT_EQ(core_.Do(SubmitSuite{Of({TestPart("a")}), "s"}).status().code(),
            absl::StatusCode::kAlreadyExists);
  core_.state().config.open_job_bytes_max = 3 * TestPart("a").ByteSizeLong();
  EXPECT_EQ(
      core_.Do(SubmitSuite{Of({TestPart("a"), TestPart("b"), TestPart("c")}), "t"}).status().code(),
      absl::StatusCode::kResourceExhausted);
}

TEST_F(SuiteTest, APersonsJobIsNobodysPart) {
  v1::Job job = TestPart("a");
  job.mutable_part()->set_suite_id(1);
  job.mutable_scheduled()->set_schedule_id(1);
  core_.Must(SubmitJob{job, "x"});
  EXPECT_FALSE(Job(1).job.has_part());
  EXPECT_FALSE(Job(1).job.has_scheduled());
}

TEST_F(SuiteTest, AfterSuccessAndAfterAny) {
  Submit(Of({TestPart("a"), TestPart("b", {{"a", kSuccess}}), TestPart("c", {{"b", kSuccess}}),
             TestPart("d", {{"a", kAny}, {"b", kAny}})}));
  EXPECT_FALSE(IsBlocked(core_.state(), Job(1)));
  for (uint64_t id : {2u, 3u, 4u}) EXPECT_TRUE(IsBlocked(core_.state(), Job(id))) << id;
  core_.End(JobId{1}, v1::VERDICT_FAIL);
  const RunState& skipped = core_.hard().runs.at(RunId{2});
  ASSERT_TRUE(skipped.failure.has_value());
  EXPECT_EQ(skipped.failure->kind(), v1::FAILURE_KIND_DEPENDENCY);
  EXPECT_THAT(skipped.failure->detail(), HasSubstr("part a ended FAIL"));
  JudgeSkipped();  // b, and what follows for c
  JudgeSkipped();
  EXPECT_TRUE(IsOver(3));
  EXPECT_FALSE(IsBlocked(core_.state(), Job(4)));
  core_.End(JobId{4}, v1::VERDICT_PASS);
  EXPECT_EQ(Outcome(), v1::SUITE_OUTCOME_FAIL);
  const v1::SuiteStatus status = ViewSuite(core_.state(), SuiteId{1});
  ASSERT_EQ(status.jobs_size(), 4);
  EXPECT_EQ(status.jobs(1).verdict(), v1::VERDICT_SKIPPED);
  EXPECT_EQ(status.jobs(3).part(), "d");
  EXPECT_TRUE(status.has_ended_unix_ns());
}

TEST_F(SuiteTest, AGateStopsWhatWaitsForAnything) {
  Submit(Of({Gate(TestPart("gate")), TestPart("free"), TestPart("other"),
             TestPart("behind", {{"free", kAny}})}));
  EXPECT_FALSE(IsBlocked(core_.state(), Job(2)));
  core_.End(JobId{2}, v1::VERDICT_PASS);
  EXPECT_TRUE(IsBlocked(core_.state(), Job(4)));  // the gate is still open
  core_.End(JobId{1}, v1::VERDICT_INVALID);
  EXPECT_EQ(core_.hard().runs.at(RunId{4}).failure->kind(), v1::FAILURE_KIND_DEPENDENCY);
  EXPECT_THAT(core_.hard().runs.at(RunId{4}).failure->detail(), HasSubstr("gate gate ended"));
  EXPECT_FALSE(IsBlocked(core_.state(), Job(3)));  // waits for nothing
  JudgeSkipped();
  core_.End(JobId{3}, v1::VERDICT_PASS);
  EXPECT_EQ(Outcome(), v1::SUITE_OUTCOME_INCOMPLETE);
}

// Gates that wait for each other's predecessors must not wait for each other.
TEST_F(SuiteTest, TwoGatesDoNotBlockEachOther) {
  Submit(Of({TestPart("a"), Gate(TestPart("g1", {{"a", kSuccess}})),
             Gate(TestPart("g2", {{"a", kSuccess}})), TestPart("end", {{"a", kSuccess}})}));
  core_.End(JobId{1}, v1::VERDICT_PASS);
  EXPECT_FALSE(IsBlocked(core_.state(), Job(2)));
  EXPECT_TRUE(IsBlocked(core_.state(), Job(3)));
  core_.End(JobId{2}, v1::VERDICT_PASS);
  EXPECT_FALSE(IsBlocked(core_.state(), Job(3)));
  EXPECT_TRUE(IsBlocked(core_.state(), Job(4)));
  core_.End(JobId{3}, v1::VERDICT_PASS);
  EXPECT_FALSE(IsBlocked(core_.state(), Job(4)));
  core_.End(JobId{4}, v1::VERDICT_PASS);
  EXPECT_EQ(Outcome(), v1::SUITE_OUTCOME_PASS);
}

TEST_F(SuiteTest, OutcomesAreNeverBetterThanTheirParts) {
  const std::vector<std::pair<v1::Verdict, v1::SuiteOutcome>> cases = {
      {v1::VERDICT_PASS, v1::SUITE_OUTCOME_PASS},
      {v1::VERDICT_FAIL, v1::SUITE_OUTCOME_FAIL},
      {v1::VERDICT_ERROR, v1::SUITE_OUTCOME_FAIL},
      {v1::VERDICT_TIMEOUT, v1::SUITE_OUTCOME_FAIL},
      {v1::VERDICT_INVALID, v1::SUITE_OUTCOME_INCOMPLETE},
      {v1::VERDICT_SKIPPED, v1::SUITE_OUTCOME_INCOMPLETE},
      {v1::VERDICT_CANCELLED, v1::SUITE_OUTCOME_INCOMPLETE}};
  uint64_t id = 0;
  for (const auto& [verdict, outcome] : cases) {
    const SuiteAccepted suite =
        Submit(Of({TestPart("a"), TestPart("b")}), "s" + std::to_string(++id));
    core_.End(suite.first_job, verdict);
    EXPECT_EQ(Outcome(id), v1::SUITE_OUTCOME_UNKNOWN);
    core_.End(JobId{suite.first_job.value + 1}, v1::VERDICT_PASS);
    EXPECT_EQ(Outcome(id), outcome) << v1::Verdict_Name(verdict);
  }
}

TEST_F(SuiteTest, NothingBeginsBeforeWhatIsExpectedWasLookedAt) {
  v1::Suite suite = Of({TestPart("a")});
  suite.mutable_expect()->set_node_count(2);
  suite.mutable_expect()->set_wait_ns(20 * kSecond);
  Submit(suite);
  core_.Node("n1");
  EXPECT_TRUE(IsBlocked(core_.state(), Job(1)));
  EXPECT_TRUE(core_.hard().leases.empty());
  core_.Node("n2");  // the last that is waited for: looked at in the same turn
  EXPECT_TRUE(core_.hard().suites.at(SuiteId{1}).checked);
  EXPECT_EQ(core_.hard().leases.size(), 1u);
}

TEST_F(SuiteTest, AtTheEndOfTheWaitWhatIsMissingFailsAll) {
  v1::Suite suite = Of({TestPart("a"), TestPart("b", {{"a", kAny}})});
  suite.mutable_expect()->add_nodes("n1");
  suite.mutable_expect()->add_nodes("n2");
  suite.mutable_expect()->set_wait_ns(1500 * kMillisecond);
  core_.Node("n1");
  Submit(suite);
  core_.Pass(kSecond);
  EXPECT_EQ(NextDeadline(core_.state()), core_.clocks().monotonic + 500 * kMillisecond);
  core_.Pass(500 * kMillisecond - 1);
  EXPECT_FALSE(core_.hard().suites.at(SuiteId{1}).checked);
  core_.Pass(1);
  EXPECT_TRUE(core_.hard().suites.at(SuiteId{1}).checked);
  for (uint64_t run : {1u, 2u}) {
    const auto& failure = core_.hard().runs.at(RunId{run}).failure;
    ASSERT_TRUE(failure.has_value());
    EXPECT_EQ(failure->kind(), v1::FAILURE_KIND_EXPECTATION);
    EXPECT_EQ(failure->detail(), "node n2 is missing");
  }
  JudgeSkipped();
  EXPECT_EQ(Outcome(), v1::SUITE_OUTCOME_FAIL);
}

TEST_F(SuiteTest, ExcludedIsIncompleteAndNeverPass) {
  core_.Node("n1");
  core_.Node("n2");
  core_.Must(ChangeNode{"n2", v1::NODE_CHANGE_CORDON, "fan", std::nullopt});
  v1::Suite suite = Of({TestPart("a")});
  suite.mutable_expect()->set_devices_per_node(1);
  suite.mutable_expect()->set_wait_ns(20 * kSecond);
  Submit(suite);
  const SuiteState& state = core_.hard().suites.at(SuiteId{1});
  EXPECT_TRUE(state.checked);  // there is nobody to wait for
  ASSERT_EQ(state.findings.size(), 1u);
  EXPECT_EQ(state.findings[0].kind(), v1::FINDING_KIND_EXCLUDED);
  EXPECT_FALSE(HasFault(state));
  EXPECT_EQ(core_.hard().leases.size(), 1u);
  core_.Must(CancelJob{JobId{1}, ""});
}

TEST_F(SuiteTest, ANewLeaderWaitsAnewAndChecksOnce) {
  v1::Suite suite = Of({TestPart("a")});
  suite.mutable_expect()->set_node_count(1);
  suite.mutable_expect()->set_wait_ns(10 * kSecond);
  Submit(suite);
  core_.Pass(kSecond);
  core_.Restart(core_.log().size());
  for (int i = 0; i < 9; ++i) core_.Pass(kSecond);
  EXPECT_FALSE(core_.hard().suites.at(SuiteId{1}).checked);
  core_.Pass(kSecond);
  EXPECT_TRUE(core_.hard().suites.at(SuiteId{1}).checked);
  core_.Restart(core_.log().size());
  core_.Pass(kSecond);
  size_t checks = 0;
  for (const v1::Event& event : core_.log()) checks += event.has_suite_checked() ? 1u : 0u;
  EXPECT_EQ(checks, 1u);
}

TEST_F(SuiteTest, CancelledBeforeItWasLookedAtIsIncomplete) {
  v1::Suite suite = Of({TestPart("a")});
  suite.mutable_expect()->set_node_count(1);
  suite.mutable_expect()->set_wait_ns(60 * kSecond);
  Submit(suite);
  core_.End(JobId{1}, v1::VERDICT_CANCELLED);
  EXPECT_EQ(Outcome(), v1::SUITE_OUTCOME_INCOMPLETE);
}

}  // namespace
}  // namespace rackmark
