// When a measured run is taken for stalled, and when not: by what Reports say, to the second.
#include "coordinator/core/decide.h"
#include "coordinator/core/desired.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

class StallTest : public testing::Test {
 protected:
  StallTest() {
    Must(TakeLeadership{"c1", "coordinator/1", "boot-c"});
    Hear(v1::RANK_PHASE_UNKNOWN);
  }
  template <typename Body>
  TurnResult Must(Body body) {
    Command command;
    command.by.set_name("tester");
    command.body = std::move(body);
    auto result = Turn(state_, command, Now{now_, now_});
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : TurnResult{};
  }
  static v1::Job JobWith(Nanos stall) {
    v1::Job job;
    job.set_name("demo");
    job.mutable_spec()->mutable_gang()->set_devices(1);
    job.mutable_spec()->mutable_gang()->set_kind(v1::DEVICE_KIND_CPU);
    v1::Limits& limits = *job.mutable_spec()->mutable_limits();
    for (const auto set : {&v1::Limits::set_setup_ns, &v1::Limits::set_prepare_ns,
                           &v1::Limits::set_measure_ns, &v1::Limits::set_drain_ns}) {
      (limits.*set)(3600 * kSecond);
    }
    limits.set_attempts(1);
    if (stall > 0) limits.set_stall_ns(stall);
    v1::Load* load = job.mutable_spec()->add_runs()->mutable_serve()->mutable_load();
    load->set_warmup_ns(20 * kSecond);
    load->mutable_auto_()->set_calibration_ns(10 * kSecond);
    return job;
  }
  // A Report: the one rank's phase and count.
  TurnResult Hear(v1::RankPhase phase, uint64_t progress = 0) {
    v1::Report report;
    report.mutable_identity()->set_incarnation("n1/1");
    report.mutable_identity()->set_cluster_id(state_.hard.cluster_id);
    report.mutable_identity()->set_epoch(state_.hard.epoch);
    report.mutable_node()->set_name("n1");
    report.mutable_node()->set_boot_id("boot-n1");
    report.mutable_node()->add_devices()->set_kind(v1::DEVICE_KIND_CPU);
    report.set_report_number(++reports_);
    v1::DeviceReport* device = report.add_devices();
    device->set_healthy(true);
    if (phase != v1::RANK_PHASE_UNKNOWN) {
      report.set_reflects_version(DesiredOf(state_, NodeId{1}).version());
      device->set_lease_id(1);
      AddRank(phase, progress, report);
    }
    return Must(NodeReported{report, 1});
  }
  static void AddRank(v1::RankPhase phase, uint64_t progress, v1::Report& report) {
    v1::LeaseReport* lease = report.add_leases();
    lease->set_lease_id(1);
    lease->set_generation(1);
    v1::RankReport* rank = lease->add_ranks();
    rank->set_phase(phase);
    rank->mutable_card()->set_lease_id(1);
    rank->mutable_card()->set_generation(1);
    if (phase < v1::RANK_PHASE_PREPARING) return;
    rank->set_run_id(1);
    rank->set_attempt(1);
    rank->set_progress(progress);
  }
  // Up to where the rank is told to measure.
  void Begin(Nanos stall) {
    Must(SubmitJob{JobWith(stall), "x"});
    for (const v1::RankPhase phase :
         {v1::RANK_PHASE_CARDED, v1::RANK_PHASE_READY, v1::RANK_PHASE_PREPARED}) {
      Hear(phase);
    }
    ASSERT_EQ(state_.hard.runs.at(RunId{1}).phase, v1::RUN_PHASE_MEASURING);
  }
  // Ticks of a second, a Report in every fifth; for how long it went well, and the failure then.
  std::optional<Nanos> Last(v1::RankPhase phase, Nanos at_most, bool gets_on = false) {
    const Nanos began = now_;
    for (; now_ - began < at_most; now_ += kSecond) {
      Must(Tick{});
      if ((now_ - began) / kSecond % 5 == 0) Hear(phase, gets_on ? ++count_ : count_);
      const auto& failure = state_.hard.runs.at(RunId{1}).failure;
      if (!failure.has_value()) continue;
      failure_ = *failure;
      return now_ - began;
    }
    return std::nullopt;
  }

  Nanos now_ = 1000 * kSecond;
  State state_;
  v1::Failure failure_;
  uint64_t reports_ = 0, count_ = 0;
};

TEST_F(StallTest, AReportAfterTheLimitThatSaysNothingNewShowsIt) {
  Begin(12 * kSecond);
  EXPECT_EQ(Last(v1::RANK_PHASE_MEASURING, 60 * kSecond, /*gets_on=*/true), std::nullopt);
  Hear(v1::RANK_PHASE_MEASURING, ++count_);
  EXPECT_EQ(Last(v1::RANK_PHASE_MEASURING, 60 * kSecond), 15 * kSecond);
  EXPECT_EQ(failure_.kind(), v1::FAILURE_KIND_STALLED);
  EXPECT_EQ(failure_.node(), "n1");
  EXPECT_THAT(failure_.detail(), HasSubstr("nobody got on for 12 s: rank 0 on n1"));
}

TEST_F(StallTest, WithoutALimitNothingStalls) {
  Begin(0);
  EXPECT_EQ(Last(v1::RANK_PHASE_MEASURING, 600 * kSecond), std::nullopt);
}

TEST_F(StallTest, ALimitBelowTheTimeBetweenReportsHarmsNobodyWhoGetsOn) {
  Begin(kSecond);
  EXPECT_EQ(Last(v1::RANK_PHASE_MEASURING, 60 * kSecond, /*gets_on=*/true), std::nullopt);
}

TEST_F(StallTest, WarmUpAndCalibrationHaveTheirOwnLength) {
  Begin(6 * kSecond);
  Hear(v1::RANK_PHASE_WARMING);
  EXPECT_EQ(Last(v1::RANK_PHASE_WARMING, 35 * kSecond), std::nullopt);
  Hear(v1::RANK_PHASE_CALIBRATING);
  EXPECT_EQ(Last(v1::RANK_PHASE_CALIBRATING, 100 * kSecond), 40 * kSecond);
  EXPECT_EQ(failure_.kind(), v1::FAILURE_KIND_STALLED);
}

TEST_F(StallTest, TheCheckOfTheDataTakesItsTime) {
  Begin(6 * kSecond);
  Hear(v1::RANK_PHASE_MEASURING, ++count_);
  EXPECT_EQ(Last(v1::RANK_PHASE_VERIFYING, 300 * kSecond), std::nullopt);
}

TEST_F(StallTest, ASilentNodeIsLostAndNotStalled) {
  Begin(6 * kSecond);
  for (int i = 0; i < 20 && !state_.hard.runs.at(RunId{1}).failure.has_value(); ++i) {
    now_ += kSecond;
    Must(Tick{});
  }
  ASSERT_TRUE(state_.hard.runs.at(RunId{1}).failure.has_value());
  EXPECT_EQ(state_.hard.runs.at(RunId{1}).failure->kind(), v1::FAILURE_KIND_NODE_LOST);
}

TEST_F(StallTest, OurOwnStallAndANewLeadershipAreForgiven) {
  Begin(12 * kSecond);
  Hear(v1::RANK_PHASE_MEASURING, ++count_);
  EXPECT_EQ(Last(v1::RANK_PHASE_MEASURING, 10 * kSecond), std::nullopt);
  now_ += 100 * kSecond;
  EXPECT_EQ(Last(v1::RANK_PHASE_MEASURING, kSecond), std::nullopt) << "2 s are left";
  Must(TakeLeadership{"", "coordinator/2", "boot-c"});
  EXPECT_EQ(Last(v1::RANK_PHASE_MEASURING, 12 * kSecond), std::nullopt);
  EXPECT_NE(Last(v1::RANK_PHASE_MEASURING, 60 * kSecond), std::nullopt);
}

}  // namespace
}  // namespace rackmark
