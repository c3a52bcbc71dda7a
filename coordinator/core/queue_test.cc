// What single looks at the queue lead to; whole stories are tests/scenarios.
#include "coordinator/core/queue.h"

#include <cmath>

#include "coordinator/core/budget.h"
#include "coordinator/core/observe.h"
#include "coordinator/core/test_core.h"
#include "coordinator/core/timers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using testing::HasSubstr;

v1::Job Wide(const std::string& name, uint32_t devices, int32_t priority) {
  v1::Job job = TestJob(name);
  job.mutable_spec()->mutable_gang()->set_devices(devices);
  job.mutable_spec()->set_priority(priority);
  return job;
}

std::vector<v1::LeaseYielding> Yields(const TurnResult& result) {
  std::vector<v1::LeaseYielding> yields;
  for (const v1::Event& event : result.events) {
    if (event.has_lease_yielding()) yields.push_back(event.lease_yielding());
  }
  return yields;
}

TEST(Queue, TheFewestOfTheLowestPriorityMakeRoom) {
  TestCore core;
  for (const char* node : {"n1", "n2", "n3"}) core.Node(node);
  const int32_t priorities[] = {3, 1, 2};
  for (const int32_t priority : priorities) {
    v1::Job job = Wide(absl::StrCat("p", priority), 1, priority);
    job.mutable_spec()->set_preemptible(priority != 1);
    job.mutable_spec()->set_grace_ns(7 * kSecond);
    job.mutable_spec()->mutable_limits()->set_measure_ns(3600 * kSecond);
    core.Must(SubmitJob{job, job.name()});
  }
  ASSERT_EQ(core.hard().leases.size(), 3u);
  // The one of priority 1 may not be told, so it is the one of 2.
  const auto yields = Yields(core.Must(SubmitJob{Wide("urgent", 1, 9), "urgent"}));
  ASSERT_EQ(yields.size(), 1u);
  EXPECT_EQ(yields[0].lease_id(), 3u);
  EXPECT_EQ(yields[0].cause(), v1::YIELD_CAUSE_PREEMPTED);
  EXPECT_EQ(yields[0].for_job_id(), 4u);
  EXPECT_EQ(yields[0].grace_ns(), 7 * kSecond);
  // It had only been placed: there was nothing to be graceful about, and no fault of anybody.
  EXPECT_EQ(core.hard().leases.at(LeaseId{3}).phase, v1::LEASE_PHASE_RELEASING);
  EXPECT_FALSE(core.hard().leases.at(LeaseId{3}).failure.has_value());
  EXPECT_EQ(core.hard().jobs.at(JobId{3}).setup_failures, 0u);
}

TEST(Queue, NobodyMakesRoomForWhatWouldNotFitAllTheSame) {
  TestCore core;
  core.Node("n1");
  core.Node("n2");
  v1::Job job = Wide("low", 1, 0);
  job.mutable_spec()->set_preemptible(true);
  core.Must(SubmitJob{job, "low"});
  EXPECT_TRUE(Yields(core.Must(SubmitJob{Wide("three", 3, 9), "three"})).empty());
  // Nor for one that is of the same priority.
  EXPECT_TRUE(Yields(core.Must(SubmitJob{Wide("both", 2, 0), "both"})).empty());
  EXPECT_EQ(Yields(core.Must(SubmitJob{Wide("higher", 2, 1), "higher"})).size(), 1u);
}

// As when ten thousand workers come back, and each might have room.
TEST(Queue, LooksInVainAreBoundedAndMadeUpFor) {
  TestCore core;
  core.Node("n1");
  core.Must(SubmitJob{Wide("large", 500, 0), "large"});
  for (int i = 2; i <= 100; ++i) core.Node(absl::StrCat("n", i));
  EXPECT_EQ(core.state().soft.planner.vain_looks, kVainLooksMax);
  EXPECT_TRUE(core.state().soft.place_wanted);
  const Nanos now = core.state().soft.now;
  EXPECT_LE(NextDeadline(core.state()), now + kVainLooksWithin);
  core.Must(SubmitJob{Wide("small", 1, 0), "small"});
  EXPECT_TRUE(core.hard().leases.empty());
  core.Pass(kVainLooksWithin);
  EXPECT_EQ(core.hard().leases.size(), 1u);
  EXPECT_FALSE(core.state().soft.place_wanted);
}

TEST(Queue, AReportWithoutNewsTouchesNoJob) {
  v1::Report report;
  v1::RankReport* rank = report.add_leases()->add_ranks();
  rank->set_phase(v1::RANK_PHASE_MEASURING);
  rank->mutable_card()->set_gloo_addresses("abc");
  report.add_devices()->set_healthy(true);
  report.add_streams()->set_acked_seq(3);
  v1::Report later = report;
  later.set_report_number(9);
  later.mutable_leases(0)->mutable_ranks(0)->set_note("measuring 7 s");
  later.mutable_leases(0)->mutable_ranks(0)->set_progress(17);
  later.mutable_streams(0)->set_acked_seq(4);
  EXPECT_TRUE(SameWork(report, later));
  later.mutable_streams(0)->set_drained(true);
  EXPECT_FALSE(SameWork(report, later));
  later = report;
  later.mutable_leases(0)->mutable_ranks(0)->set_phase(v1::RANK_PHASE_DONE);
  EXPECT_FALSE(SameWork(report, later));
  later = report;
  later.mutable_leases(0)->mutable_ranks(0)->mutable_card()->set_gloo_addresses("abd");
  EXPECT_FALSE(SameWork(report, later));
  later = report;
  later.mutable_devices(0)->set_healthy(false);
  EXPECT_FALSE(SameWork(report, later));
}

// Each desired state that a worker has read makes it report another version.
TEST(Queue, AReportThatOnlyReflectsIsNoReasonToLook) {
  TestCore core;
  core.Node("n1");
  core.Must(SubmitJob{Wide("large", 500, 0), "large"});
  const uint32_t looks = core.state().soft.planner.vain_looks;
  v1::Report report = *core.state().soft.nodes.at(NodeId{1}).report;
  report.mutable_identity()->set_epoch(core.hard().epoch);
  for (uint64_t version = 1; version <= 5; ++version) {
    report.set_report_number(100 + version);
    report.set_reflects_version(version);
    core.Must(NodeReported{report, 1});
  }
  EXPECT_EQ(core.state().soft.planner.vain_looks, looks);
  report.set_report_number(200);
  report.mutable_devices(0)->set_healthy(false);
  core.Must(NodeReported{report, 1});
  EXPECT_EQ(core.state().soft.planner.vain_looks, looks + 1);
}

// The other node of its gang never says that it is free.
TEST(Queue, ALostNodeIsDueOnceWhileItsGangWaitsForOthers) {
  TestCore core;
  core.Node("n1");
  core.Node("n2");
  core.Must(SubmitJob{Wide("both", 2, 0), "both"});
  for (int second = 0; second < 60; ++second) {
    core.Node("n1");
    core.Pass(kSecond);
  }
  ASSERT_EQ(core.hard().nodes.at(NodeId{2}).phase, v1::NODE_PHASE_LOST);
  ASSERT_EQ(core.hard().nodes.at(NodeId{2}).leases.size(), 1u);
  EXPECT_TRUE(core.state().soft.due_nodes.DueBy(core.state().soft.now).empty());
}

// After an outage each job would avoid another node, and mean the same by it.
TEST(Queue, WhatIsLostNeedNotBeAvoided) {
  TestCore core;
  for (const char* node : {"n1", "n2", "n3"}) core.Node(node);
  v1::Job broken = Wide("broken", 2, 1);
  broken.mutable_spec()->mutable_limits()->set_attempts(9);
  broken.mutable_spec()->mutable_limits()->set_setup_ns(600 * kSecond);
  core.Must(SubmitJob{broken, "broken"});
  core.Must(SubmitJob{Wide("third", 1, 1), "third"});
  for (int second = 0; second < 20; ++second) {
    core.Node("n2");
    core.Node("n3");
    core.Pass(kSecond);
  }
  ASSERT_EQ(core.hard().nodes.at(NodeId{1}).phase, v1::NODE_PHASE_LOST);
  const JobState& job = core.hard().jobs.at(JobId{1});
  ASSERT_EQ(job.avoid.count(NodeId{1}), 1u);
  const Planner& planner = core.state().soft.planner;
  const auto* waits = planner.queue.Find(plan::TicketId{1});
  ASSERT_NE(waits, nullptr);
  EXPECT_TRUE(waits->ticket.request.selector.avoid.empty());
  core.Node("n1");
  core.Node("n1");
  ASSERT_EQ(core.hard().nodes.at(NodeId{1}).phase, v1::NODE_PHASE_UP);
  ASSERT_NE(planner.queue.Find(plan::TicketId{1}), nullptr);
  EXPECT_EQ(planner.queue.Find(plan::TicketId{1})->ticket.request.selector.avoid.size(), 1u);
}

// Being preempted costs no try, so it can happen for ever.
TEST(Queue, ARunRemembersItsFirstFailureAndTheLastOnes) {
  TestCore core;
  core.Node("n1");
  core.Must(SubmitJob{Wide("often", 1, 0), "often"});
  HardState hard = core.hard();
  hard.leases.at(LeaseId{1}).phase = v1::LEASE_PHASE_ACTIVE;
  const auto next = [&](v1::Event event) {
    event.set_format(1);
    event.set_seq(hard.last_seq + 1);
    Apply(hard, event);
  };
  for (uint32_t i = 1; i <= 40; ++i) {
    v1::Event prepares;
    prepares.mutable_run_preparing()->set_run_id(1);
    prepares.mutable_run_preparing()->set_lease_id(1);
    prepares.mutable_run_preparing()->set_attempt(i);
    next(prepares);
    v1::Event again;
    again.mutable_run_requeued()->set_run_id(1);
    again.mutable_run_requeued()->mutable_failure()->set_kind(v1::FAILURE_KIND_PREEMPTED);
    again.mutable_run_requeued()->mutable_failure()->set_detail(absl::StrCat("time ", i));
    next(again);
  }
  const std::vector<v1::Failure>& earlier = hard.runs.at(RunId{1}).earlier;
  ASSERT_EQ(earlier.size(), 16u);
  EXPECT_EQ(earlier[0].detail(), "time 1");
  EXPECT_EQ(earlier[1].detail(), "time 26");
  EXPECT_EQ(earlier[15].detail(), "time 40");
}

TEST(Budget, NamesItsFiguresAndItsEnd) {
  TestCore core;
  core.Node("n1");
  core.Node("n2");
  v1::Job job = Wide("wide", 2, 0);
  job.mutable_spec()->mutable_budget()->set_node_seconds(5);
  job.mutable_spec()->mutable_budget()->set_wall_ns(60 * kSecond);
  core.Must(SubmitJob{job, "wide"});
  const Nanos placed = core.state().soft.now;
  const JobState& open = core.hard().jobs.at(JobId{1});
  EXPECT_EQ(BudgetEnd(core.state(), open), placed + 2500 * kMillisecond);
  EXPECT_EQ(BudgetLeft(open, 2), 2500 * kMillisecond);
  EXPECT_EQ(NextDeadline(core.state()), placed + kSecond);  // a tick comes before
  core.Pass(kSecond);
  core.Pass(kSecond);
  EXPECT_EQ(NextDeadline(core.state()), placed + 2500 * kMillisecond);
  EXPECT_FALSE(OverBudget(core.state(), open, core.state().soft.now).has_value());
  core.Pass(kSecond / 2);
  EXPECT_EQ(core.hard().leases.at(LeaseId{1}).phase, v1::LEASE_PHASE_RELEASING);
  const RunState& run = core.hard().runs.at(RunId{1});
  EXPECT_EQ(run.phase, v1::RUN_PHASE_JUDGING);
  EXPECT_EQ(run.failure->kind(), v1::FAILURE_KIND_BUDGET);
  EXPECT_THAT(run.failure->detail(), HasSubstr("5 s in all"));
  EXPECT_THAT(run.failure->detail(), HasSubstr("budget.node_seconds is 5"));
}

TEST(Wishes, AreBounded) {
  TestCore core;
  const auto refused = [&](void (*spoil)(v1::JobSpec&), const std::string& why) {
    v1::Job job = TestJob("job");
    spoil(*job.mutable_spec());
    const absl::Status status = core.Do(SubmitJob{job, "job"}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << why;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  };
  refused([](v1::JobSpec& s) { s.set_priority(1001); }, "priority is 1001");
  refused([](v1::JobSpec& s) { s.set_grace_ns(-1); }, "grace");
  refused([](v1::JobSpec& s) { s.set_lease_max_ns(0); }, "lease_max");
  refused([](v1::JobSpec& s) { s.mutable_budget()->set_wall_ns(0); }, "budget.wall");
  refused([](v1::JobSpec& s) { s.mutable_budget()->set_node_seconds(std::nan("")); },
          "budget.node_seconds");
  refused([](v1::JobSpec& s) { s.mutable_gang()->add_nodes(""); }, "gang.nodes");
  refused([](v1::JobSpec& s) { s.mutable_gang()->add_models(std::string(300, 'x')); },
          "gang.models");
}

}  // namespace
}  // namespace rackmark
