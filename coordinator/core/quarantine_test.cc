// Which offences take a node out of service, what the breaker holds back, and the way back.
#include "coordinator/core/quarantine.h"

#include "coordinator/core/decide.h"
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

TEST_F(QuarantineTest, TheBreakerForgetsNobodyWhoIsInQuarantine) {
  for (uint64_t i = 3; i <= 10; ++i) Node(i).tested_unix_ns = 100 * kHour;
  for (uint64_t i : {1u, 2u}) Node(i).standing = v1::STANDING_QUARANTINED;  // days ago
  OffendThrice(3, 100 * kHour);
  EXPECT_EQ(Goes(), 0U) << "20 % of 10 are 2, and these are there";
  Node(1).standing = v1::STANDING_GOOD;
  Node(1).tested_unix_ns = 100 * kHour;
  EXPECT_EQ(Goes(), 3U);
}

TEST_F(QuarantineTest, TheLastInServiceStays) {
  for (uint64_t i = 2; i <= 4; ++i) Node(i).standing = v1::STANDING_QUARANTINED;
  for (uint64_t i = 5; i <= 7; ++i) Node(i).phase = v1::NODE_PHASE_LOST;
  for (uint64_t i = 8; i <= 10; ++i) Node(i).cordoned = true;
  state_.config.quarantine_percent = 100;
  OffendThrice(1, kHour);
  EXPECT_EQ(Goes(), 0U);
  state_.soft.breaker_holds = {NodeId{1}};
  EXPECT_THAT(BreakerNote(state_, Node(1)), HasSubstr("; no other is in service"));
  Node(1).standing = v1::STANDING_PROBATION;
  EXPECT_EQ(Goes(), 0U) << "nor that";
  Node(10).cordoned = false;
  EXPECT_EQ(Goes(), 1U);
}

TEST_F(QuarantineTest, OneLossIsOneOffence) {
  for (uint64_t job = 11; job <= 13; ++job) Offend(1, job, kHour, v1::FAILURE_KIND_NODE_LOST);
  EXPECT_FALSE(Leaves(1));
  Offend(1, 14, 2 * kHour, v1::FAILURE_KIND_NODE_LOST);
  EXPECT_FALSE(Leaves(1));
  Offend(1, 15, 3 * kHour, v1::FAILURE_KIND_NODE_LOST);
  EXPECT_TRUE(Leaves(1));
}

class TakenBackTest : public QuarantineTest {
 protected:
  TakenBackTest() {
    now_.set_boot_id("b");
    Node(1).info.set_boot_id("b");
    Node(1).phase = v1::NODE_PHASE_LOST;
    Node(1).standing = v1::STANDING_QUARANTINED;
    Node(1).was = v1::STANDING_GOOD;
    Offend(1, 11, kHour);
    Offend(1, 12, 2 * kHour);
    for (uint64_t job = 13; job <= 14; ++job) Offend(1, job, 3 * kHour, v1::FAILURE_KIND_NODE_LOST);
  }
  v1::Standing After() {
    std::vector<v1::Event> events;
    EmitTakenBack(state_, Node(1), now_, events);
    if (events.empty()) return v1::STANDING_UNKNOWN;
    EXPECT_TRUE(events[0].node_standing_changed().keeps_offences());
    return events[0].node_standing_changed().standing();
  }
  v1::NodeInfo now_;
};

TEST_F(TakenBackTest, WhatTheSilenceTookComesBack) {
  EXPECT_EQ(OffencesTakenBack(Node(1), now_), 2U);
  EXPECT_EQ(After(), v1::STANDING_GOOD);
  Node(1).was = v1::STANDING_PROBATION;
  EXPECT_EQ(After(), v1::STANDING_UNKNOWN) << "there one offence is enough, and two are left";
  Node(1).offences.erase(Node(1).offences.begin(), Node(1).offences.begin() + 2);
  EXPECT_EQ(After(), v1::STANDING_PROBATION);
}

TEST_F(TakenBackTest, WhatAnythingElseTookStays) {
  now_.set_boot_id("c");
  EXPECT_EQ(After(), v1::STANDING_UNKNOWN) << "the machine started anew";
  now_.set_boot_id("b");
  Node(1).was = v1::STANDING_UNKNOWN;
  EXPECT_EQ(After(), v1::STANDING_UNKNOWN) << "a person took it";
  Node(1).was = v1::STANDING_GOOD;
  v1::Offence third = Node(1).offences.front();
  third.set_job_id(10);
  Node(1).offences.push_front(third);
  EXPECT_EQ(After(), v1::STANDING_UNKNOWN) << "three are left";
}

TEST_F(TakenBackTest, WhatIsLeftStillCounts) {
  state_.hard.last_node = 10;
  v1::Event event;
  event.set_format(1);
  event.set_seq(1);
  event.mutable_node_standing_changed()->set_node_id(1);
  event.mutable_node_standing_changed()->set_standing(v1::STANDING_GOOD);
  event.mutable_node_standing_changed()->set_keeps_offences(true);
  Apply(state_.hard, event);
  EXPECT_EQ(Node(1).offences.size(), 4U);
  EXPECT_EQ(Node(1).was, v1::STANDING_UNKNOWN);
  event.set_seq(2);
  event.mutable_node_standing_changed()->set_keeps_offences(false);
  Apply(state_.hard, event);
  EXPECT_EQ(Node(1).offences.size(), 0U);
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

// The other runs of the check need the node where it is.
TEST_F(TestedTest, ACheckPassesAsAWhole) {
  MakeACheck();
  job().first_run = RunId{7};
  job().job.mutable_spec()->add_runs();
  job().job.mutable_spec()->add_runs();
  RunState& other = state_.hard.runs[RunId{8}];
  other.id = RunId{8};
  other.placement.add_ranks()->set_node_id(2);
  for (uint64_t i : {1u, 2u}) Node(i).standing = v1::STANDING_QUARANTINED;
  EXPECT_EQ(After(v1::VERDICT_PASS), "") << "the other one is still to come";
  other.verdict = v1::VERDICT_FAIL;
  EXPECT_EQ(After(v1::VERDICT_PASS), "");
  other.verdict = v1::VERDICT_PASS;
  std::vector<v1::Event> events;
  EmitTested(state_, run_, v1::VERDICT_PASS, events);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].node_standing_changed().node_id(), 1U);
  EXPECT_EQ(events[1].node_standing_changed().node_id(), 2U);
  EXPECT_EQ(events[1].node_standing_changed().standing(), v1::STANDING_PROBATION);
  EXPECT_EQ(events[1].node_standing_changed().reason(), "all 2 runs of job c0ffee00-j1 passed");
}

TEST_F(TestedTest, ACheckThatLeftOutTheDeviceThatIsBlamedFreesNobody) {
  MakeACheck();
  Node(1).standing = v1::STANDING_QUARANTINED;
  Node(1).standing_reason = "3 offences";
  Node(1).was = v1::STANDING_GOOD;
  for (uint32_t i = 0; i < 4; ++i) Node(1).info.add_devices()->set_index(i);
  Offend(1, 11, kHour, v1::FAILURE_KIND_DEVICE);
  Node(1).offences.back().set_device(3);
  const std::string stays =
      "STANDING_QUARANTINED: 3 offences; a check passed, but not on device 3, which is blamed";
  EXPECT_EQ(After(v1::VERDICT_PASS), stays);
  Node(1).standing_reason = stays.substr(stays.find(' ') + 1);
  EXPECT_EQ(After(v1::VERDICT_PASS), "") << "it says so already";
  run_.placement.mutable_ranks(0)->set_device(3);
  EXPECT_EQ(After(v1::VERDICT_PASS), "STANDING_PROBATION: run c0ffee00-r7 passed on it");
  run_.placement.mutable_ranks(0)->set_device(0);
  Node(1).info.mutable_devices()->RemoveLast();  // it was taken out
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
