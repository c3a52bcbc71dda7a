// Suites, schedules and nodes over the wire: what is refused, what is told, and what is there
// after.
#include "coordinator/serve/service_test_fixture.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

v1::Suite MakeSuite() {
  v1::Suite suite;
  suite.set_name("rack");
  for (const char* part : {"smoke", "serve"}) {
    v1::Job& job = *suite.add_jobs() = MakeJob();
    job.mutable_part()->set_name(part);
  }
  suite.mutable_jobs(0)->mutable_part()->set_gate(true);
  v1::Dependency& after = *suite.mutable_jobs(1)->mutable_part()->add_after();
  after.set_part("smoke");
  after.set_when(v1::DEPENDENCY_WHEN_SUCCESS);
  return suite;
}

v1::Schedule MakeSchedule() {
  v1::Schedule schedule;
  schedule.set_name("nightly");
  schedule.set_when("30 1 * * *");
  schedule.set_time_zone("UTC");
  schedule.set_concurrency(v1::CONCURRENCY_POLICY_FORBID);
  schedule.set_keep_successful(3);
  schedule.set_keep_failed(1);
  *schedule.mutable_job() = MakeJob();
  return schedule;
}

absl::StatusOr<v1::SubmitSuiteReply> SubmitSuite(Coordinator& coordinator, const v1::Suite& suite,
                                                 const std::string& submission_id = "s1") {
  v1::SubmitSuiteRequest request;
  *request.mutable_suite() = suite;
  request.set_submission_id(submission_id);
  return Call<v1::SubmitSuiteRequest, v1::SubmitSuiteReply>(coordinator, &Stub::SubmitSuite,
                                                            request);
}

absl::StatusOr<v1::ListSuitesReply> ListSuites(Coordinator& coordinator, uint64_t id,
                                               uint32_t limit = 0) {
  v1::ListSuitesRequest request;
  request.set_limit(limit);
  request.set_suite_id(id);
  return Call<v1::ListSuitesRequest, v1::ListSuitesReply>(coordinator, &Stub::ListSuites, request);
}

absl::StatusOr<v1::ApplyScheduleReply> Apply(Coordinator& coordinator,
                                             const v1::Schedule& schedule) {
  v1::ApplyScheduleRequest request;
  *request.mutable_schedule() = schedule;
  return Call<v1::ApplyScheduleRequest, v1::ApplyScheduleReply>(coordinator, &Stub::ApplySchedule,
                                                                request);
}

absl::StatusOr<v1::ChangeNodeReply> Change(Coordinator& coordinator, const std::string& node,
                                           v1::NodeChange change,
                                           const std::string& reason = "a fan") {
  v1::ChangeNodeRequest request;
  request.set_node(node);
  request.set_change(change);
  request.set_reason(reason);
  return Call<v1::ChangeNodeRequest, v1::ChangeNodeReply>(coordinator, &Stub::ChangeNode, request);
}

TEST(FleetServices, ASuiteIsSubmittedOnceAndListed) {
  Coordinator coordinator;
  EXPECT_EQ(ListSuites(coordinator, 0)->suites_size(), 0);
  EXPECT_EQ(ListSuites(coordinator, 1).status().code(), absl::StatusCode::kNotFound);
  const auto submitted = SubmitSuite(coordinator, MakeSuite());
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  EXPECT_EQ(submitted->jobs(), 2U);
  EXPECT_GE(submitted->notes_size(), 1);  // there is no node yet
  const auto again = SubmitSuite(coordinator, MakeSuite());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->suite_id(), submitted->suite_id());
  EXPECT_EQ(again->first_job_id(), submitted->first_job_id());

  const auto all = ListSuites(coordinator, 0);
  ASSERT_EQ(all->suites_size(), 1);
  const auto one = ListSuites(coordinator, submitted->suite_id());
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_EQ(one->suites(0).jobs_size(), 2);
  EXPECT_EQ(one->suites(0).name(), "rack");
  EXPECT_EQ(one->suites(0).outcome(), v1::SUITE_OUTCOME_UNKNOWN);
  EXPECT_EQ(one->suites(0).jobs(1).part(), "serve");
  EXPECT_EQ(one->suites(0).jobs(1).job_id(), submitted->first_job_id() + 1);
  EXPECT_EQ(one->suites(0).jobs(1).suite_id(), submitted->suite_id());

  ASSERT_TRUE(SubmitSuite(coordinator, MakeSuite(), "s2").ok());
  EXPECT_EQ(ListSuites(coordinator, 0)->left_out(), 0U);
  const auto newest = ListSuites(coordinator, 0, 1);
  ASSERT_EQ(newest->suites_size(), 1);
  EXPECT_EQ(newest->suites(0).suite_id(), submitted->suite_id() + 1);
  EXPECT_EQ(newest->left_out(), 1U);
}

// The YAML reader would have refused these; a client of somebody else need not have one.
TEST(FleetServices, ASuiteOutOfBoundsIsRefused) {
  Coordinator coordinator;
  v1::Suite suite = MakeSuite();
  suite.mutable_jobs(1)->mutable_spec()->set_priority(5000);
  auto reply = SubmitSuite(coordinator, suite);
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(reply.status().message()), HasSubstr("serve: job.priority is 5000"));
  suite = MakeSuite();
  suite.mutable_jobs(1)->mutable_part()->mutable_after(0)->set_part("nobody");
  reply = SubmitSuite(coordinator, suite);
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kInvalidArgument);
  suite = MakeSuite();
  v1::ServeWorkload& serve =
      *suite.mutable_jobs(1)->mutable_spec()->mutable_runs(0)->mutable_serve();
  serve.set_model("nano-1m");
  serve.set_tensor_parallel(1);
  serve.set_kv_block_tokens(16);
  serve.set_kv_memory_bytes(8 << 20);
  serve.set_max_batch(4);
  serve.set_prefill_chunk(64);
  serve.mutable_load()->set_duration_ns(kSecond);
  v1::TraceLoad& trace = *serve.mutable_load()->mutable_trace();
  trace.set_sha256(std::string(64, 'a'));
  trace.set_bytes(10);
  trace.set_format(v1::TRACE_FORMAT_AZURE_CSV);
  trace.set_time_scale(1);
  trace.set_length_scale(1);
  trace.set_requests(1);
  reply = SubmitSuite(coordinator, suite);
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kFailedPrecondition) << reply.status();
  EXPECT_THAT(std::string(reply.status().message()), HasSubstr("does not have the file"));
  EXPECT_EQ(ListSuites(coordinator, 0)->suites_size(), 0);
  // A part of a suite does not come alone.
  v1::SubmitRequest alone;
  *alone.mutable_job() = MakeSuite().jobs(0);
  alone.set_submission_id("s2");
  const auto refused = Call<v1::SubmitRequest, v1::SubmitReply>(coordinator, &Stub::Submit, alone);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(FleetServices, AScheduleIsSetSuspendedListedAndRemoved) {
  Coordinator coordinator;
  const auto set = Apply(coordinator, MakeSchedule());
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_TRUE(set->changed());
  EXPECT_EQ(set->schedule().next_unix_ns_size(), 3);
  EXPECT_FALSE(Apply(coordinator, MakeSchedule())->changed());

  v1::Schedule only;
  only.set_name("nightly");
  only.set_suspend(true);
  const auto rests = Apply(coordinator, only);
  ASSERT_TRUE(rests.ok()) << rests.status();
  EXPECT_TRUE(rests->changed());
  EXPECT_TRUE(rests->schedule().schedule().suspend());
  EXPECT_EQ(rests->schedule().schedule().when(), "30 1 * * *");  // all else stays
  EXPECT_TRUE(rests->schedule().schedule().has_job());
  EXPECT_EQ(rests->schedule().schedule_id(), set->schedule().schedule_id());
  EXPECT_EQ(rests->schedule().next_unix_ns_size(), 0);
  EXPECT_FALSE(Apply(coordinator, only)->changed());
  only.set_suspend(false);
  EXPECT_TRUE(Apply(coordinator, only)->changed());
  only.set_name("nobody");
  EXPECT_EQ(Apply(coordinator, only).status().code(), absl::StatusCode::kNotFound);

  const auto list =
      Call<v1::ListSchedulesRequest, v1::ListSchedulesReply>(coordinator, &Stub::ListSchedules, {});
  ASSERT_EQ(list->schedules_size(), 1);
  EXPECT_FALSE(list->schedules(0).schedule().suspend());
  v1::RemoveScheduleRequest remove;
  remove.set_name("nightly");
  const auto removed = [&] {
    return Call<v1::RemoveScheduleRequest, v1::RemoveScheduleReply>(coordinator,
                                                                    &Stub::RemoveSchedule, remove);
  };
  EXPECT_TRUE(removed().ok());
  EXPECT_EQ(removed().status().code(), absl::StatusCode::kNotFound);
}

TEST(FleetServices, AScheduleOutOfBoundsIsRefused) {
  Coordinator coordinator;
  const auto refuse = [&](void (*spoil)(v1::Schedule&), const char* says) {
    v1::Schedule schedule = MakeSchedule();
    spoil(schedule);
    const auto reply = Apply(coordinator, schedule);
    EXPECT_EQ(reply.status().code(), absl::StatusCode::kInvalidArgument) << says;
    EXPECT_THAT(std::string(reply.status().message()), HasSubstr(says));
  };
  refuse([](v1::Schedule& s) { s.set_when("61 * * * *"); }, "schedule.when");
  refuse([](v1::Schedule& s) { s.set_time_zone("Europe/Brelin"); }, "schedule.time_zone");
  refuse([](v1::Schedule& s) { s.clear_job(); }, "neither a job nor a suite");
  refuse([](v1::Schedule& s) { s.mutable_job()->mutable_spec()->set_grace_ns(-1); },
         "job.grace_ns");
  refuse([](v1::Schedule& s) { s.Clear(); }, "schedule.name is missing");
}

// The loop looks for the nearest of all names; nobody may give it a megabyte to compare.
TEST(FleetServices, LongNamesAreRefusedBeforeTheLoop) {
  Coordinator coordinator;
  const auto refused = [](const absl::Status& status, const char* says) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(says));
  };
  const auto cordon = [&](size_t bytes) {
    return Change(coordinator, std::string(bytes, 'n'), v1::NODE_CHANGE_CORDON).status();
  };
  refused(cordon(254), "node has 254 bytes, 253 at most");
  refused(cordon(3 << 20), "253 at most");
  EXPECT_EQ(cordon(253).code(), absl::StatusCode::kNotFound);
  v1::Schedule only;  // whether it rests
  only.set_name(std::string(53, 's'));
  refused(Apply(coordinator, only).status(), "schedule.name has 53 bytes, 52 at most");
  only.set_name(std::string(52, 's'));
  EXPECT_EQ(Apply(coordinator, only).status().code(), absl::StatusCode::kNotFound);
  v1::RemoveScheduleRequest remove;
  remove.set_name(std::string(53, 's'));
  refused(Call<v1::RemoveScheduleRequest, v1::RemoveScheduleReply>(coordinator,
                                                                   &Stub::RemoveSchedule, remove)
              .status(),
          "name has 53 bytes, 52 at most");
}

// As large as a schedule may be, and more of them than a message holds.
TEST(FleetServices, LargeSchedulesAreRefusedOrListedInOutline) {
  Coordinator coordinator;
  v1::Schedule schedule = MakeSchedule();
  v1::Suite& suite = *schedule.mutable_suite() = MakeSuite();
  suite.set_source(std::string(1 << 20, 's'));
  for (v1::Job& job : *suite.mutable_jobs()) job.set_source(std::string(1 << 20, 's'));
  schedule.set_source(std::string(800 << 10, 's'));
  const auto refused = Apply(coordinator, schedule);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("9/10 of 4 MiB at most"));

  schedule = MakeSchedule();
  v1::Suite& labelled = *schedule.mutable_suite() = MakeSuite();
  v1::Job first = labelled.jobs(0);
  for (int i = 0; i < 32; ++i) {
    (*first.mutable_labels())[absl::StrCat(i, std::string(250, 'k'))] = std::string(256, 'v');
  }
  labelled.clear_jobs();
  for (int i = 0; i < 50; ++i) {
    v1::Job& job = *labelled.add_jobs() = first;
    job.mutable_part()->set_name(absl::StrCat("p", i));
    job.mutable_part()->set_gate(false);
  }
  constexpr int kSchedules = 6;
  for (int i = 0; i < kSchedules; ++i) {
    schedule.set_name(absl::StrCat("s", i));
    const auto set = Apply(coordinator, schedule);
    ASSERT_TRUE(set.ok()) << set.status();
  }
  const auto all =
      Call<v1::ListSchedulesRequest, v1::ListSchedulesReply>(coordinator, &Stub::ListSchedules, {});
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->schedules_size(), kSchedules);
  EXPECT_EQ(all->schedules(0).schedule().suite().jobs_size(), 50);
  const v1::Schedule& last = all->schedules(kSchedules - 1).schedule();
  EXPECT_EQ(last.what_case(), v1::Schedule::WHAT_NOT_SET);
  EXPECT_EQ(last.name(), "s5");
  EXPECT_EQ(last.when(), "30 1 * * *");
  EXPECT_EQ(all->left_out(), 0U);
}

TEST(FleetServices, ANodeIsCordonedQuarantinedAndReadmitted) {
  Coordinator coordinator;
  FakeWorker worker(coordinator, "boot-n1/1");
  worker.SendReport();
  ASSERT_TRUE(worker.Receive());
  const auto cordoned = Change(coordinator, "n1", v1::NODE_CHANGE_CORDON);
  ASSERT_TRUE(cordoned.ok()) << cordoned.status();
  EXPECT_TRUE(cordoned->changed());
  EXPECT_TRUE(cordoned->node().cordoned());
  EXPECT_FALSE(cordoned->node().drain());
  EXPECT_FALSE(Change(coordinator, "n1", v1::NODE_CHANGE_CORDON)->changed());
  EXPECT_TRUE(Change(coordinator, "n1", v1::NODE_CHANGE_DRAIN)->node().drain());
  EXPECT_FALSE(Change(coordinator, "n1", v1::NODE_CHANGE_UNCORDON)->node().cordoned());
  EXPECT_EQ(Change(coordinator, "n1", v1::NODE_CHANGE_QUARANTINE)->node().standing(),
            v1::STANDING_QUARANTINED);
  const auto nodes =
      Call<v1::ListNodesRequest, v1::ListNodesReply>(coordinator, &Stub::ListNodes, {});
  EXPECT_EQ(nodes->nodes(0).standing(), v1::STANDING_QUARANTINED);
  EXPECT_EQ(nodes->nodes(0).standing_reason(), "a fan");
  EXPECT_EQ(Change(coordinator, "n1", v1::NODE_CHANGE_READMIT)->node().standing(),
            v1::STANDING_GOOD);
  EXPECT_EQ(Change(coordinator, "n2", v1::NODE_CHANGE_CORDON).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Change(coordinator, "n1", v1::NODE_CHANGE_UNKNOWN).status().code(),
            absl::StatusCode::kInvalidArgument);
  // A reason that is too long is refused with its size, and not cut first.
  const auto wordy = Change(coordinator, "n1", v1::NODE_CHANGE_CORDON, std::string(2000, 'x'));
  EXPECT_EQ(wordy.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(wordy.status().message()), HasSubstr("has 2000 bytes, 512 at most"));
  EXPECT_TRUE(Change(coordinator, "n1", v1::NODE_CHANGE_CORDON, std::string(512, 'x')).ok());
}

}  // namespace
}  // namespace rackmark
