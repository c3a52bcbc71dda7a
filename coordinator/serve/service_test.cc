// A scripted worker takes a job through its life, and people watch it.
#include "coordinator/serve/service_test_fixture.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

// The YAML reader would have refused these; a client of somebody else need not have one.
TEST(Services, AJobOutOfBoundsIsRefusedWhoeverWroteIt) {
  Coordinator coordinator;
  const auto refuse = [&](void (*spoil)(v1::RunSpec&), const std::string& field) {
    v1::SubmitRequest request;
    *request.mutable_job() = MakeJob();
    spoil(*request.mutable_job()->mutable_spec()->mutable_runs(0));
    const auto reply =
        Call<v1::SubmitRequest, v1::SubmitReply>(coordinator, &Stub::Submit, request);
    EXPECT_EQ(reply.status().code(), absl::StatusCode::kInvalidArgument) << reply.status();
    EXPECT_THAT(std::string(reply.status().message()), testing::HasSubstr(field));
  };
  refuse([](v1::RunSpec& run) { run.mutable_null()->set_samples_per_step(1'000'000); },
         "null.samples_per_step");
  refuse([](v1::RunSpec& run) { run.mutable_serve()->set_model("tiny-30m"); },
         "serve.tensor_parallel");
}

TEST(Services, AJobFromSubmitToReport) {
  Coordinator coordinator;
  const auto submitted = Submit(coordinator, "s1");
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  EXPECT_EQ(submitted->identity().cluster_id(), coordinator.cluster_id());
  EXPECT_EQ(Submit(coordinator, "s1")->job_id(), submitted->job_id());

  v1::GetReportRequest early;
  early.set_job_id(submitted->job_id());
  const auto not_yet =
      Call<v1::GetReportRequest, v1::GetReportReply>(coordinator, &Stub::GetReport, early);
  EXPECT_EQ(not_yet.status().code(), absl::StatusCode::kFailedPrecondition);

  std::promise<void> began;
  auto watched = std::async(std::launch::async,
                            [&] { return Watch(coordinator, submitted->job_id(), began); });
  began.get_future().wait();  // it has seen the job wait; only now comes a worker
  FakeWorker worker(coordinator, "boot-n1/1");
  bool had_lease = false;
  worker.ObeyUntil([&] {
    had_lease = had_lease || worker.desired().leases_size() > 0;
    return had_lease && worker.desired().leases_size() == 0;
  });
  const auto seen = watched.get();
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.front().job().phase(), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(seen.back().job().phase(), v1::JOB_PHASE_ENDED);
  EXPECT_EQ(seen.back().job().verdict(), v1::VERDICT_PASS);
  int ends = 0;
  for (const auto& reply : seen) {
    for (const auto& run : reply.runs()) ends += run.phase() == v1::RUN_PHASE_ENDED ? 1 : 0;
  }
  EXPECT_EQ(ends, 1);

  const auto report =
      Call<v1::GetReportRequest, v1::GetReportReply>(coordinator, &Stub::GetReport, early);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->summary().runs_size(), 1);
  EXPECT_EQ(report->summary().runs(0).chunks(), 2U);
  EXPECT_EQ(report->summary().runs(0).nodes(0).name(), "n1");
  const auto nodes =
      Call<v1::ListNodesRequest, v1::ListNodesReply>(coordinator, &Stub::ListNodes, {});
  ASSERT_EQ(nodes->nodes_size(), 1);
  EXPECT_EQ(nodes->nodes(0).phase(), v1::NODE_PHASE_UP);
}

// What has left State is answered from the tables, as if it were still there.
TEST(Services, AnEndedJobIsListedWatchedAndCancelledAsBefore) {
  Coordinator coordinator;
  std::vector<uint64_t> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(Submit(coordinator, absl::StrCat("s", i))->job_id());
    if (i == 2) break;  // stays open
    v1::CancelRequest cancel;
    cancel.set_job_id(ids.back());
    EXPECT_TRUE((Call<v1::CancelRequest, v1::CancelReply>(coordinator, &Stub::Cancel, cancel))
                    ->was_running());
    std::promise<void> began;
    const auto seen = Watch(coordinator, ids.back(), began);
    ASSERT_FALSE(seen.empty());
    EXPECT_EQ(seen.back().job().phase(), v1::JOB_PHASE_ENDED);
    const auto again = Call<v1::CancelRequest, v1::CancelReply>(coordinator, &Stub::Cancel, cancel);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_FALSE(again->was_running());
    EXPECT_EQ(Submit(coordinator, absl::StrCat("s", i))->job_id(), ids.back());
  }
  const auto jobs = Call<v1::ListJobsRequest, v1::ListJobsReply>(coordinator, &Stub::ListJobs, {});
  ASSERT_EQ(jobs->jobs_size(), 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(jobs->jobs(i).job_id(), ids[2 - static_cast<size_t>(i)]);  // newest first
    EXPECT_EQ(jobs->jobs(i).phase(), i == 0 ? v1::JOB_PHASE_QUEUED : v1::JOB_PHASE_ENDED);
    EXPECT_EQ(jobs->jobs(i).name(), "happy");
    EXPECT_EQ(jobs->jobs(i).runs_ended(), i == 0 ? 0U : 1U);
  }
  EXPECT_EQ(jobs->left_out(), 0U);
  v1::ListJobsRequest two;
  two.set_limit(2);
  const auto fewer =
      Call<v1::ListJobsRequest, v1::ListJobsReply>(coordinator, &Stub::ListJobs, two);
  EXPECT_EQ(fewer->jobs(1).job_id(), ids[1]);
  EXPECT_EQ(fewer->left_out(), 1U);
  two.set_limit(1);  // fewer than have ended
  EXPECT_EQ(
      (Call<v1::ListJobsRequest, v1::ListJobsReply>(coordinator, &Stub::ListJobs, two))->left_out(),
      2U);
  const auto runs = Call<v1::ListRunsRequest, v1::ListRunsReply>(coordinator, &Stub::ListRuns, {});
  ASSERT_EQ(runs->runs_size(), 3);
  EXPECT_EQ(runs->runs(0).phase(), v1::RUN_PHASE_QUEUED);
  EXPECT_EQ(runs->runs(2).run_id(), 1U);
  EXPECT_EQ(runs->runs(2).phase(), v1::RUN_PHASE_ENDED);
  EXPECT_EQ(runs->left_out(), 0U);
  v1::ListRunsRequest newest;
  newest.set_limit(1);
  EXPECT_EQ((Call<v1::ListRunsRequest, v1::ListRunsReply>(coordinator, &Stub::ListRuns, newest))
                ->left_out(),
            2U);
  v1::ListRunsRequest of;
  of.set_job_id(ids[0]);
  const auto one = Call<v1::ListRunsRequest, v1::ListRunsReply>(coordinator, &Stub::ListRuns, of);
  ASSERT_EQ(one->runs_size(), 1);
  EXPECT_EQ(one->left_out(), 0U);
  EXPECT_EQ(one->runs(0).failure().kind(), v1::FAILURE_KIND_CANCELLED);
  // Who comes after the end sees the job and all of its runs at once.
  std::promise<void> began;
  const auto late = Watch(coordinator, ids[0], began);
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].runs_size(), 1);
}

// A reason that is cut through the middle of a character would be the last event that this log
// takes.
TEST(Services, ALongReasonIsCutBetweenCharacters) {
  Coordinator coordinator;
  v1::CancelRequest cancel;
  cancel.set_job_id(Submit(coordinator, "s1")->job_id());
  cancel.set_reason(std::string(1023, 'a') + "\xc3\xbc");
  const auto reply = Call<v1::CancelRequest, v1::CancelReply>(coordinator, &Stub::Cancel, cancel);
  EXPECT_TRUE(reply.ok()) << reply.status();
}

TEST(Services, EachReportIsAnsweredWithItsStamps) {
  Coordinator coordinator;
  FakeWorker worker(coordinator, "boot-n1/1");
  for (uint64_t n = 1; n <= 3; ++n) {
    worker.SendReport();
    do {
      ASSERT_TRUE(worker.Receive());
    } while (worker.reply().answers_report() == 0);
    EXPECT_EQ(worker.reply().answers_report(), n);
    EXPECT_GE(worker.reply().coordinator_receive_ns(), worker.reply().worker_send_ns());
    EXPECT_GE(worker.reply().coordinator_send_ns(), worker.reply().coordinator_receive_ns());
    EXPECT_EQ(worker.reply().coordinator_boot_id(), "boot");
  }
}

TEST(Services, NodesThatDoNotFitIntoOneMessageAreOnThePageAfterIt) {
  Coordinator coordinator;
  std::vector<std::unique_ptr<FakeWorker>> workers;
  for (int i = 1; i <= 5; ++i) {
    workers.push_back(std::make_unique<FakeWorker>(coordinator, absl::StrCat("boot/", i)));
    workers.back()->node().set_name(absl::StrCat("n", i));
    // About 1 MiB, and nothing of it over its bound.
    for (uint32_t index = 1; index <= 800; ++index) {
      v1::Device& device = *workers.back()->node().add_devices();
      device.set_index(index);
      device.set_kind(v1::DEVICE_KIND_GPU);
      const std::string word(250, 'x');
      device.set_serial(word);
      device.set_slot(word);
      device.set_model(word);
      device.set_uuid(word);
      device.set_nvlink_domain(word);
    }
    workers.back()->SendReport();
    ASSERT_TRUE(workers.back()->Receive());
  }
  std::vector<std::string> names;
  v1::ListNodesRequest request;
  uint32_t left_out = 0;
  do {
    const auto page =
        Call<v1::ListNodesRequest, v1::ListNodesReply>(coordinator, &Stub::ListNodes, request);
    ASSERT_TRUE(page.ok()) << page.status();
    ASSERT_FALSE(page->nodes().empty());
    for (const v1::NodeStatus& node : page->nodes()) names.push_back(node.info().name());
    request.set_after_node_id(page->nodes().rbegin()->node_id());
    left_out = page->left_out();
    EXPECT_EQ(names.size() + left_out, 5U);
  } while (left_out > 0);
  EXPECT_THAT(names, testing::ElementsAre("n1", "n2", "n3", "n4", "n5"));
}

TEST(Services, ASecondStreamOfAWorkerCutsTheFirst) {
  Coordinator coordinator;
  FakeWorker first(coordinator, "boot-n1/1");
  first.SendReport();
  ASSERT_TRUE(first.Receive());
  FakeWorker second(coordinator, "boot-n1/1");
  second.SendReport();
  ASSERT_TRUE(second.Receive());
  while (first.Receive()) {
  }
  EXPECT_FALSE(first.Finish().ok());
  second.SendReport();
  EXPECT_TRUE(second.Receive());
}

TEST(Services, ForeignClustersAndOtherProtocolsAreRefusedByName) {
  Coordinator coordinator;
  v1::ListJobsRequest request;
  *request.mutable_identity() = MakeIdentity("somebody else's", 0, "cli");
  auto refused =
      Call<v1::ListJobsRequest, v1::ListJobsReply>(coordinator, &Stub::ListJobs, request);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("cluster"));
  *request.mutable_identity() = MakeIdentity("", 0, "cli");
  request.mutable_identity()->set_protocol_min(8);
  request.mutable_identity()->set_protocol_max(9);
  refused = Call<v1::ListJobsRequest, v1::ListJobsReply>(coordinator, &Stub::ListJobs, request);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("8 to 9"));
}

TEST(Services, AnUnknownJobIsNotFoundByEveryCallThatNamesOne) {
  Coordinator coordinator;
  v1::ListRunsRequest runs;
  runs.set_job_id(9);
  EXPECT_TRUE(absl::IsNotFound(
      Call<v1::ListRunsRequest, v1::ListRunsReply>(coordinator, &Stub::ListRuns, runs).status()));
  v1::CancelRequest cancel;
  cancel.set_job_id(9);
  EXPECT_TRUE(absl::IsNotFound(
      Call<v1::CancelRequest, v1::CancelReply>(coordinator, &Stub::Cancel, cancel).status()));
  auto stub = v1::ClientService::NewStub(coordinator.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  v1::WatchJobRequest watch;
  *watch.mutable_identity() = MakeIdentity("", 0, "cli");
  watch.set_job_id(9);
  auto stream = stub->WatchJob(&context, watch);
  v1::WatchJobReply reply;
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(Services, AWatcherIsNotToldWhatIsForReports) {
  v1::RunStatus run;
  run.mutable_failure()->set_detail("signal 9");
  run.mutable_failure()->set_stderr_tail(std::string(4096, 'x'));
  run.mutable_placement()->add_ranks()->set_node("n1");
  v1::RunStatus told = ForWatcher(run);
  EXPECT_EQ(told.failure().detail(), "signal 9");
  EXPECT_EQ(told.failure().stderr_tail(), "");
  EXPECT_EQ(told.placement().ranks_size(), 1);
  for (int i = 0; i < 10'000; ++i) run.mutable_placement()->add_ranks()->set_node("node-1");
  EXPECT_TRUE(ForWatcher(run).placement().ranks().empty());
}

// All runs at once are more than a message holds: those of one message are told, and the job.
TEST(Services, AWatchedJobNeverExceedsAMessage) {
  Coordinator coordinator;
  v1::SubmitRequest request;
  *request.mutable_job() = MakeJob();
  request.set_submission_id("large");
  v1::JobSpec& spec = *request.mutable_job()->mutable_spec();
  (*spec.mutable_runs(0)->mutable_point())["x"] = std::string(6200, 'x');
  while (spec.runs_size() < 600) *spec.add_runs() = spec.runs(0);
  const auto submitted =
      Call<v1::SubmitRequest, v1::SubmitReply>(coordinator, &Stub::Submit, request);
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  auto stub = v1::ClientService::NewStub(coordinator.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  v1::WatchJobRequest watch;
  *watch.mutable_identity() = MakeIdentity("", 0, "cli");
  watch.set_job_id(submitted->job_id());
  auto stream = stub->WatchJob(&context, watch);
  v1::WatchJobReply reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.runs_size(), 0);
  v1::CancelRequest cancel;  // all 600 are to be judged, each with this reason: 4.4 MB
  cancel.set_job_id(submitted->job_id());
  cancel.set_reason(std::string(1024, 'y'));
  ASSERT_TRUE((Call<v1::CancelRequest, v1::CancelReply>(coordinator, &Stub::Cancel, cancel)).ok());
  do {
    ASSERT_TRUE(stream->Read(&reply)) << stream->Finish().error_message();
  } while (reply.runs_size() == 0);
  EXPECT_GT(reply.runs_size(), 100);
  EXPECT_LT(reply.runs_size(), 600);
  EXPECT_EQ(reply.job().runs_total(), 600U);
  context.TryCancel();
  stream->Finish();
}

TEST(Services, AWatcherThatGoesAwayIsForgotten) {
  Coordinator coordinator;
  const auto job = Submit(coordinator, "s1");
  ASSERT_TRUE(job.ok());
  auto stub = v1::ClientService::NewStub(coordinator.channel());
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::WatchJobRequest watch;
    *watch.mutable_identity() = MakeIdentity("", 0, "cli");
    watch.set_job_id(job->job_id());
    auto stream = stub->WatchJob(&context, watch);
    v1::WatchJobReply reply;
    ASSERT_TRUE(stream->Read(&reply));
    EXPECT_EQ(reply.job().name(), "happy");
    context.TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
}

}  // namespace
}  // namespace rackmark
