// Which offences take a node out of service, what the breaker holds back, and the way back.
#include "coordinator/core/quarantine.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

constexpr Nanos kHour = 3600 * kSecond;

class QuarantineTest : public testing::Test {
 protected:
  QuarantineTest() {
    state_.hard.cluster_id = "c0ffee00";
    for (uint64_t i = 1; i <= 10; ++i) Add(i);
  }
  NodeState& Add(uint64_t id) {
    NodeState& node = state_.hard.nodes[NodeId{id}];
    node.id = NodeId{id};
    node.info.set_name(absl::StrCat("n", id));
    state_.hard.node_by_name[node.info.name()] = node.id;
    return node;
  }
  NodeState& Node(uint64_t id) { return state_.hard.nodes.at(NodeId{id}); }
  void Offend(uint64_t node, uint64_t job, Nanos when,
              v1::FailureKind kind = v1::FAILURE_KIND_RANK_DIED) {
    v1::Offence& offence = Node(node).offences.emplace_back();
    offence.set_unix_ns(when);
    offence.set_kind(kind);
    offence.set_job_id(job);
    state_.soft.standing_wanted.insert(NodeId{node});
  }
  void OffendThrice(uint64_t node, Nanos when) {
    for (uint64_t i = 1; i <= 3; ++i) Offend(node, 10 * node + i, when + static_cast<Nanos>(i));
  }
  bool Leaves(uint64_t node) const { return MustLeave(state_, state_.hard.nodes.at(NodeId{node})); }
  // The one that goes; 0 = none.
  uint64_t Goes() {
    std::vector<v1::Event> events;
    if (!EmitStanding(state_, events)) return 0;
    EXPECT_EQ(events.size(), 1U);
    const v1::NodeStandingChanged& change = events[0].node_standing_changed();
    EXPECT_EQ(change.standing(), v1::STANDING_QUARANTINED);
    reason_ = change.reason();
    Node(change.node_id()).standing = change.standing();
    return change.node_id();
  }

  State state_;
  std::string reason_;
};

TEST_F(QuarantineTest, EnoughOffencesOfDifferentJobsWithinTheWindow) {
  Offend(1, 11, kHour);
  Offend(1, 12, 2 * kHour);
  EXPECT_FALSE(Leaves(1));
  Offend(1, 13, 25 * kHour - 1, v1::FAILURE_KIND_STALLED);
  EXPECT_TRUE(Leaves(1));
  EXPECT_EQ(Goes(), 1U);
  EXPECT_EQ(reason_,
            "3 offences within 24 h: STALLED in job c0ffee00-j13, RANK_DIED in job c0ffee00-j12, "
            "RANK_DIED in job c0ffee00-j11");
  EXPECT_EQ(Goes(), 0U) << "it is there already";
}

TEST_F(QuarantineTest, TheWindowEndsWhereItWasLastAtWork) {
  Offend(1, 11, kHour);
  Offend(1, 12, 2 * kHour);
  Offend(1, 13, 25 * kHour);
  EXPECT_FALSE(Leaves(1)) << "the first is a day old";
  Offend(1, 14, 25 * kHour);
  EXPECT_TRUE(Leaves(1));
  Node(1).tested_unix_ns = 26 * kHour;
  EXPECT_FALSE(Leaves(1)) << "it has worked a day since the second";
}

TEST_F(QuarantineTest, OneJobCountsOnceUnlessOnlyAMachineCanDoThat) {
  for (Nanos i = 1; i <= 5; ++i) Offend(1, 11, i, v1::FAILURE_KIND_SETUP_TIMEOUT);
  EXPECT_FALSE(Leaves(1));
  for (Nanos i = 1; i <= 3; ++i) Offend(2, 11, i, v1::FAILURE_KIND_DEVICE);
  EXPECT_TRUE(Leaves(2));
}

TEST_F(QuarantineTest, WhatAJobMeetsOnOtherNodesTooIsTheJobs) {
  OffendThrice(1, kHour);
  EXPECT_TRUE(Leaves(1));
  Offend(2, 12, 2 * kHour);  // the second of its jobs, after it had gone elsewhere
  EXPECT_FALSE(Leaves(1));
  Offend(1, 14, 3 * kHour);
  EXPECT_TRUE(Leaves(1));
}

TEST_F(QuarantineTest, TheBreakerLetsOneAndThenItsShareOfTheTested) {
  OffendThrice(1, kHour);
  OffendThrice(2, kHour);
  OffendThrice(3, kHour);
  EXPECT_EQ(Goes(), 1U) << "one always may";
  EXPECT_EQ(Goes(), 0U) << "of 3 tested nodes no second one";
  state_.soft.breaker_holds = {NodeId{2}, NodeId{3}};
  EXPECT_EQ(BreakerNote(state_, Node(2)),
            "kept, though it has 3 offences within 24 h: RANK_DIED in job c0ffee00-j23, RANK_DIED "
            "in job c0ffee00-j22, RANK_DIED in job c0ffee00-j21; 1 of 3 tested nodes are in "
            "quarantine, and 20 % at most may be");
  EXPECT_EQ(BreakerNote(state_, Node(1)), "") << "in quarantine";
  EXPECT_EQ(BreakerNote(state_, Node(5)), "");
  for (uint64_t i = 4; i <= 10; ++i) Node(i).tested_unix_ns = kHour;
  EXPECT_EQ(Goes(), 2U) << "20 % of 10 are 2";
  EXPECT_EQ(Goes(), 0U);
}

TEST_F(QuarantineTest, NodesThatWereNotTestedGiveTheBreakerNoRoom) {
  for (uint64_t i = 4; i <= 10; ++i) Node(i).tested_unix_ns = kHour - 24 * kHour;
  OffendThrice(1, kHour);
  OffendThrice(2, kHour);
  EXPECT_EQ(Goes(), 1U);
  EXPECT_EQ(Goes(), 0U);
  Node(1).standing = v1::STANDING_GOOD;  // a person lets it back
  Node(1).offences.clear();
  EXPECT_EQ(Goes(), 2U);
}

TEST_F(QuarantineTest, OnProbationOneOffenceIsEnoughAndNoBreakerHolds) {
  OffendThrice(1, kHour);
  EXPECT_EQ(Goes(), 1U);
  Node(2).standing = v1::STANDING_PROBATION;
  EXPECT_FALSE(Leaves(2));
  Offend(2, 21, kHour);
  EXPECT_EQ(Goes(), 2U);
  EXPECT_EQ(reason_, "on probation: RANK_DIED in job c0ffee00-j21");
}

class TestedTest : public QuarantineTest {
 protected:
  TestedTest() {
    job().id = JobId{1};
    run_.id = RunId{7};
    run_.job = JobId{1};
    v1::RankPlace* place = run_.placement.add_ranks();
    place->set_node_id(1);
    place->set_node("n1");
  }
  JobState& job() { return state_.hard.jobs[JobId{1}]; }
  void MakeACheck() { job().job.mutable_spec()->mutable_gang()->set_quarantined(true); }
  std::string After(v1::Verdict verdict) {
    std::vector<v1::Event> events;
    EmitTested(state_, run_, verdict, events);
    if (events.empty()) return "";
    EXPECT_EQ(events.size(), 1U);
    const v1::NodeStandingChanged& change = events[0].node_standing_changed();
    return absl::StrCat(v1::Standing_Name(change.standing()), ": ", change.reason());
  }
  RunState run_;
};

TEST_F(TestedTest, OnlyAPassedCheckTakesANodeOutOfQuarantine) {
  Node(1).standing = v1::STANDING_QUARANTINED;
  EXPECT_EQ(After(v1::VERDICT_PASS), "") << "a run that was there before";
  MakeACheck();
  EXPECT_EQ(After(v1::VERDICT_FAIL), "");
  EXPECT_EQ(After(v1::VERDICT_SKIPPED), "");
  EXPECT_EQ(After(v1::VERDICT_PASS), "STANDING_PROBATION: run c0ffee00-r7 passed on it");
}

TEST_F(TestedTest, ProbationEndsAfterSoManyPassedRuns) {
  Node(1).standing = v1::STANDING_PROBATION;
  Node(1).tested = 1;
  EXPECT_EQ(After(v1::VERDICT_PASS), "");
  Node(1).tested = 2;
  EXPECT_EQ(After(v1::VERDICT_FAIL), "");
  EXPECT_EQ(After(v1::VERDICT_PASS),
            "STANDING_GOOD: 3 runs passed on probation, the last one c0ffee00-r7");
}

TEST_F(TestedTest, AGoodNodeStaysGood) {
  Node(1).tested = 100;
  MakeACheck();
  EXPECT_EQ(After(v1::VERDICT_PASS), "");
}

}  // namespace
}  // namespace rackmark
