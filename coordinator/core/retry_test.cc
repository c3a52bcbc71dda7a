// What follows from each kind of failure: the table of README.md, whole.
#include "coordinator/core/retry.h"

#include <set>

#include "coordinator/core/decide.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

struct Row {
  v1::FailureKind kind;
  v1::FailureClass klass;
  Retry retry;
  bool offence;  // of the node that it blames
  bool setup;    // counts as a failed set-up of the job's lease
  bool own;      // the run's own doing
};

constexpr auto kInfra = v1::FAILURE_CLASS_INFRASTRUCTURE;
constexpr auto kInvalid = v1::FAILURE_CLASS_INVALID;
constexpr auto kTimeout = v1::FAILURE_CLASS_TIMEOUT;
constexpr auto kCancelled = v1::FAILURE_CLASS_CANCELLED;
constexpr auto kHere = Retry::kHere;
constexpr auto kElsewhere = Retry::kElsewhere;
constexpr auto kNever = Retry::kNever;

constexpr Row kTable[] = {
    {v1::FAILURE_KIND_RANK_DIED, kInfra, kElsewhere, true, true, true},
    {v1::FAILURE_KIND_RANK_FAILED, kInfra, kHere, false, true, true},
    {v1::FAILURE_KIND_NODE_LOST, kInfra, kElsewhere, true, true, false},
    {v1::FAILURE_KIND_NODE_RESTARTED, kInfra, kHere, false, true, false},
    {v1::FAILURE_KIND_SETUP_TIMEOUT, kInfra, kElsewhere, true, true, true},
    {v1::FAILURE_KIND_PREPARE_TIMEOUT, kInfra, kElsewhere, true, true, true},
    {v1::FAILURE_KIND_MEASURE_TIMEOUT, kTimeout, kHere, false, true, true},
    {v1::FAILURE_KIND_DRAIN_TIMEOUT, kInvalid, kNever, false, true, true},
    {v1::FAILURE_KIND_SAMPLES_LOST, kInvalid, kNever, false, true, true},
    {v1::FAILURE_KIND_UNSUPPORTED, kInfra, kNever, false, true, true},
    {v1::FAILURE_KIND_CANCELLED, kCancelled, kNever, false, false, true},
    {v1::FAILURE_KIND_VERIFY, v1::FAILURE_CLASS_PERFORMANCE, kNever, true, true, true},
    {v1::FAILURE_KIND_FENCED, kInfra, kHere, false, true, false},
    {v1::FAILURE_KIND_PREEMPTED, v1::FAILURE_CLASS_PREEMPTED, kHere, false, false, false},
    {v1::FAILURE_KIND_STALLED, kInfra, kElsewhere, true, true, true},
    {v1::FAILURE_KIND_BUDGET, kTimeout, kNever, false, false, true},
    {v1::FAILURE_KIND_DEPENDENCY, kCancelled, kNever, false, true, true},
    {v1::FAILURE_KIND_EXPECTATION, kInfra, kNever, false, true, true},
    {v1::FAILURE_KIND_DEVICE, kInfra, kElsewhere, true, true, false},
};

TEST(Retry, EveryKindHasItsRow) {
  std::set<int> rows;
  for (const Row& row : kTable) EXPECT_TRUE(rows.insert(row.kind).second);
  for (int i = 0; i < v1::FailureKind_descriptor()->value_count(); ++i) {
    const int kind = v1::FailureKind_descriptor()->value(i)->number();
    if (kind == v1::FAILURE_KIND_UNKNOWN) continue;
    EXPECT_EQ(rows.count(kind), 1U) << v1::FailureKind_Name(static_cast<v1::FailureKind>(kind));
  }
}

TEST(Retry, TheTable) {
  for (const Row& row : kTable) {
    SCOPED_TRACE(v1::FailureKind_Name(row.kind));
    EXPECT_EQ(ClassOf(row.kind), row.klass);
    EXPECT_EQ(RetryOf(row.kind), row.retry);
    EXPECT_EQ(IsFinal(row.kind), row.retry == kNever);
    EXPECT_EQ(CountsAsFailedSetup(row.kind), row.setup);
    EXPECT_EQ(IsOwnDoing(row.kind), row.own);
    v1::Failure failure;
    failure.set_kind(row.kind);
    EXPECT_FALSE(IsOffence(failure)) << "nobody is blamed";
    failure.set_node("n1");
    EXPECT_EQ(IsOffence(failure), row.offence);
  }
}

class MayRetryTest : public testing::Test {
 protected:
  MayRetryTest() {
    job().id = JobId{1};
    job().job.mutable_spec()->mutable_limits()->set_attempts(3);
    run_.job = JobId{1};
    run_.attempt = 1;
  }
  JobState& job() { return state_.hard.jobs[JobId{1}]; }
  bool May(v1::FailureKind kind) const {
    v1::Failure failure;
    failure.set_kind(kind);
    return MayRetry(state_, run_, failure);
  }

  State state_;
  RunState run_;
};

TEST_F(MayRetryTest, WhatIsFinalIsNotRepeatedThoughAttemptsAreLeft) {
  for (const Row& row : kTable) {
    EXPECT_EQ(May(row.kind), row.retry != kNever) << v1::FailureKind_Name(row.kind);
  }
}

TEST_F(MayRetryTest, AttemptsAreLimitedAndPreemptionCostsNone) {
  run_.attempt = 3;
  EXPECT_FALSE(May(v1::FAILURE_KIND_NODE_LOST));
  EXPECT_TRUE(May(v1::FAILURE_KIND_PREEMPTED));
  run_.free_tries = 1;
  EXPECT_TRUE(May(v1::FAILURE_KIND_NODE_LOST));
}

TEST_F(MayRetryTest, TwoLeasesKilledByItsOwnDoingAreEnough) {
  run_.lease_kills = 1;
  EXPECT_FALSE(May(v1::FAILURE_KIND_RANK_DIED));
  EXPECT_TRUE(May(v1::FAILURE_KIND_DEVICE));
}

TEST_F(MayRetryTest, ACancelledJobTriesNothingMore) {
  job().cancel_requested = true;
  EXPECT_FALSE(May(v1::FAILURE_KIND_NODE_LOST));
}

// What is prepared beside a run that drains has not begun yet: it can try as often as before.
TEST(FailLease, WhatWasOnlyPreparedBesideADrainCostsNoTry) {
  State state;
  state.hard.cluster_id = "c";
  JobState& job = state.hard.jobs[JobId{1}];
  job.id = JobId{1};
  job.first_run = RunId{1};
  job.job.mutable_spec()->mutable_limits()->set_attempts(1);
  LeaseState& lease = state.hard.leases[LeaseId{1}];
  lease.id = LeaseId{1};
  lease.job = JobId{1};
  lease.draining = RunId{1};
  lease.run = RunId{2};
  for (uint64_t id : {1u, 2u}) {
    job.job.mutable_spec()->add_runs()->mutable_null();
    RunState& run = state.hard.runs[RunId{id}];
    run.id = RunId{id};
    run.job = JobId{1};
    run.lease = LeaseId{1};
    run.attempt = 1;
    run.phase = id == 1 ? v1::RUN_PHASE_DRAINING : v1::RUN_PHASE_PREPARING;
  }
  v1::Failure failure;
  failure.set_kind(v1::FAILURE_KIND_RANK_DIED);
  std::vector<v1::Event> events;
  FailLease(state, lease, failure, events);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_TRUE(events[0].has_run_judging());
  ASSERT_TRUE(events[1].has_run_requeued());
  EXPECT_TRUE(events[1].run_requeued().free());
  v1::Event requeued = events[1];
  requeued.set_format(1);
  requeued.set_seq(1);
  Apply(state.hard, requeued);
  const RunState& run = state.hard.runs.at(RunId{2});
  EXPECT_EQ(run.lease_kills, 0U);
  EXPECT_TRUE(MayRetry(state, run, failure));
  // A log of before says nothing of it, and means what it meant.
  state.hard.runs.at(RunId{2}).phase = v1::RUN_PHASE_PREPARING;
  requeued.set_seq(2);
  requeued.mutable_run_requeued()->set_free(false);
  Apply(state.hard, requeued);
  EXPECT_EQ(run.lease_kills, 1U);
  EXPECT_EQ(run.free_tries, 1U);
}

}  // namespace
}  // namespace rackmark
