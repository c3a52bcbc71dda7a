#include "coordinator/core/why.h"

#include "coordinator/core/decide.h"
#include "coordinator/core/view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class WhyTest : public testing::Test {
 protected:
  WhyTest() { Do(TakeLeadership{"c1", "coordinator/1", "boot-c"}); }

  template <typename Body>
  void Do(Body body) {
    Command command;
    command.by.set_name("tester");
    command.body = std::move(body);
    const auto result = Turn(state_, command, Now{now_, 7});
    EXPECT_TRUE(result.ok()) << result.status();
  }

  // A node with so many free CPU devices says so.
  void ReportNode(const std::string& name, uint32_t devices) {
    v1::Report report;
    report.mutable_identity()->set_incarnation(name + "-boot/1");
    report.mutable_node()->set_name(name);
    report.mutable_node()->set_boot_id("boot-" + name);
    for (uint32_t i = 0; i < devices; ++i) {
      v1::Device* device = report.mutable_node()->add_devices();
      device->set_index(i);
      device->set_kind(v1::DEVICE_KIND_CPU);
      report.add_devices()->set_index(i);
      report.mutable_devices(static_cast<int>(i))->set_healthy(true);
    }
    report.set_report_number(++reports_);
    Do(NodeReported{report, 1});
  }

  void Submit(const std::string& name, uint32_t devices, uint32_t per_node = 0,
              v1::DeviceKind kind = v1::DEVICE_KIND_CPU) {
    v1::Job job;
    job.set_name(name);
    v1::Gang& gang = *job.mutable_spec()->mutable_gang();
    gang.set_devices(devices);
    if (per_node > 0) gang.set_per_node(per_node);
    gang.set_kind(kind);
    v1::Limits& limits = *job.mutable_spec()->mutable_limits();
    limits.set_setup_ns(60 * kSecond);
    limits.set_prepare_ns(60 * kSecond);
    limits.set_measure_ns(60 * kSecond);
    limits.set_drain_ns(60 * kSecond);
    limits.set_attempts(1);
    job.mutable_spec()->add_runs()->mutable_null();
    Do(SubmitJob{job, name});
  }

  v1::WhyReply Why(uint64_t job) { return WhyJob(state_, JobId{job}, now_); }

  // "2 leased to job 1 (n1)" for each constraint.
  static std::vector<std::string> Filtered(const v1::WhyReply& reply) {
    std::vector<std::string> lines;
    uint32_t sum = reply.devices_left();
    for (const v1::FilteredDevices& filtered : reply.filtered()) {
      std::string nodes;
      for (const std::string& node : filtered.examples()) absl::StrAppend(&nodes, " ", node);
      lines.push_back(absl::StrCat(filtered.devices(), " ", filtered.constraint(), nodes));
      sum += filtered.devices();
    }
    EXPECT_EQ(sum, reply.devices_total());
    return lines;
  }

  Nanos now_ = 100 * kSecond;
  uint64_t reports_ = 0;
  State state_;
};

TEST_F(WhyTest, WhoHoldsTheDevicesAndWhoIsAhead) {
  ReportNode("n1", 2);
  ReportNode("n2", 2);
  Submit("first", 3);
  Submit("second", 2);
  Submit("third", 2);
  const v1::WhyReply why = Why(3);
  EXPECT_THAT(Filtered(why),
              ElementsAre("3 leased to job c1-j1 n1 n2", "1 too few are left for it n2"));
  EXPECT_EQ(why.devices_left(), 0u);
  EXPECT_EQ(why.position(), 2u);
  EXPECT_EQ(why.last_pass().head_job_id(), 2u);
  EXPECT_EQ(why.last_pass().head_in_ns(), 240 * kSecond);  // what the first may take at most
  EXPECT_EQ(why.last_pass().candidates(), 1u);
  ASSERT_EQ(why.ahead_size(), 2);
  EXPECT_EQ(why.ahead(0).name(), "first");
  EXPECT_EQ(why.ahead(0).phase(), v1::JOB_PHASE_ACTIVE);
  EXPECT_EQ(why.ahead(0).devices(), 3u);
  EXPECT_EQ(why.ahead(1).phase(), v1::JOB_PHASE_QUEUED);
  EXPECT_FALSE(why.has_next_deadline());
  EXPECT_EQ(
      why.summary(),
      "job c1-j3 waits for devices that are in use: it needs 2 CPU devices, and 1 of 4 known are "
      "usable now (job c1-j1 holds 3); 1 job waits ahead of it, the first is job c1-j2");
}

TEST_F(WhyTest, AtMostTwentyAreNamedAndAllAreCounted) {
  ReportNode("n1", 1);
  for (int i = 0; i < 25; ++i) Submit(absl::StrCat("j", i), 1);
  const v1::WhyReply why = Why(25);
  EXPECT_EQ(why.ahead_size(), 20);
  EXPECT_EQ(why.ahead_total(), 24u);
}

// A cluster may have as many leases as devices, and the answer must still be one message.
TEST_F(WhyTest, FewHoldersAreNamedAndAllDevicesAreCounted) {
  ReportNode("n1", 60);
  for (int i = 0; i < 60; ++i) Submit(absl::StrCat("j", i), 1);
  Submit("waits", 2);
  const v1::WhyReply why = Why(61);
  EXPECT_EQ(why.filtered_size(), 21);
  EXPECT_EQ(Filtered(why).front(), "1 leased to job c1-j1 n1");
  EXPECT_EQ(Filtered(why).back(), "40 leased to 40 more");
  EXPECT_EQ(why.devices_left(), 0u);
  EXPECT_EQ(why.job().waiting_reasons_size(), 10);
  EXPECT_EQ(why.job().waiting_reasons(9), "52 CPU devices busy with 52 more");
  EXPECT_EQ(
      why.summary(),
      "job c1-j61 waits for devices that are in use: it needs 2 CPU devices, and 0 of 60 known "
      "are usable now (job c1-j1 holds 1, job c1-j2 holds 1, job c1-j3 holds 1, job c1-j4 holds 1, "
      "job c1-j5 "
      "holds 1 and 55 more hold the others)");
}

// A list of ten thousand jobs that wait for the same must not look at all devices for each.
TEST_F(WhyTest, WhatManyJobsWaitForIsExplainedOnce) {
  ReportNode("n1", 1);
  for (int i = 0; i < 25; ++i) Submit(absl::StrCat("j", i), 1);
  const uint64_t before = state_.soft.planner.fleet.work().explained;
  for (uint64_t id = 2; id <= 25; ++id) {
    EXPECT_GT(ViewJob(state_, JobId{id}).waiting_reasons_size(), 0);
  }
  EXPECT_EQ(state_.soft.planner.fleet.work().explained, before + 1);
  ReportNode("n2", 0);
  ViewJob(state_, JobId{9});
  EXPECT_EQ(state_.soft.planner.fleet.work().explained, before + 2);
}

TEST_F(WhyTest, WhatNeverBeganHasNotMeasured) {
  Submit("work", 1);
  Do(CancelJob{JobId{1}, "typo"});
  EXPECT_EQ(Why(1).summary(),
            "job c1-j1 is being cancelled (typo): waits for the verdict on run c1-r1, which ended "
            "with CANCELLED: typo");
}

TEST_F(WhyTest, AFreeDeviceMayBeAnotherJobsTurn) {
  ReportNode("n1", 2);
  Submit("first", 1);
  Submit("both", 2);
  for (int second = 0; second < 2; ++second) {
    now_ += kSecond;
    Do(Tick{});
  }
  Submit("small", 1);  // takes two seconds longer than the devices are kept from now on
  EXPECT_EQ(Why(3).summary(), "job c1-j3 waits behind job c1-j2, though its gang would fit now");
}

TEST_F(WhyTest, AGangThatNoKnownNodesHold) {
  Submit("early", 4, 2);
  EXPECT_EQ(
      Why(1).summary(),
      "job c1-j1 cannot start on the nodes known now: it needs 4 CPU devices, 2 on each node, and "
      "they have 0 in all; it waits until more join");
  ReportNode("n1", 1);
  ReportNode("n2", 3);
  EXPECT_THAT(Filtered(Why(1)), ElementsAre("1 node has fewer than 2 usable at once n1",
                                            "3 too few are left for it n2"));
  EXPECT_THAT(Why(1).summary(), HasSubstr("and they have 4 in all, but too few nodes have 2; it"));
  Submit("gpus", 1, 0, v1::DEVICE_KIND_GPU);
  EXPECT_THAT(Filtered(Why(2)), ElementsAre("4 device kind is cpu n1 n2"));
  EXPECT_THAT(Why(2).summary(), HasSubstr("needs 1 GPU device, and they have 0 in all"));
}

TEST_F(WhyTest, AJobAtWorkWaitsForARankAndHasADeadline) {
  ReportNode("n1", 1);
  ReportNode("n2", 1);
  Submit("work", 2);
  now_ += 2 * kSecond;
  const v1::WhyReply why = Why(1);
  EXPECT_EQ(
      why.summary(),
      "job c1-j1 is at work: its ranks are being started on node n1, n2: waits until rank 0 on "
      "node n1 (and 1 more) has started");
  EXPECT_EQ(why.next_deadline().what(), "the ranks must have met");
  EXPECT_EQ(why.next_deadline().in_ns(), 58 * kSecond);
  EXPECT_THAT(Filtered(why), ElementsAre("2 leased to this job n1 n2"));
}

TEST_F(WhyTest, ASilentNodeIsNamedAndWhenItIsTakenForLost) {
  ReportNode("n1", 1);
  ReportNode("n2", 1);
  Submit("work", 2);
  for (int second = 0; second < 13; ++second) {
    now_ += kSecond;
    ReportNode("n1", 1);
    Do(Tick{});
  }
  const v1::WhyReply why = Why(1);
  EXPECT_THAT(why.summary(), testing::EndsWith("; node n2 is silent"));
  EXPECT_EQ(why.next_deadline().what(), "node n2 is taken for lost");
  EXPECT_EQ(why.next_deadline().in_ns(), 2 * kSecond);
  EXPECT_THAT(Filtered(why), ElementsAre("1 node is SUSPECT n2", "1 leased to this job n1"));
}

TEST(WhyEnded, SaysWhatCameOfItAndThroughWhat) {
  v1::JobStatus job;
  job.set_job_id(4);
  job.set_runs_total(3);
  job.set_verdict(v1::VERDICT_PASS);
  EXPECT_EQ(WhyEnded("c1", job, {}), "job c1-j4 ended with PASS: all of its 3 runs passed");
  std::vector<v1::RunStatus> runs(3);
  for (size_t i = 0; i < runs.size(); ++i) {
    runs[i].set_run_id(7 + i);
    runs[i].set_verdict(i == 0 ? v1::VERDICT_PASS : v1::VERDICT_ERROR);
  }
  v1::Failure& failure = *runs[1].mutable_failure();
  failure.set_kind(v1::FAILURE_KIND_RANK_DIED);
  failure.set_node("n2");
  failure.set_device(1);
  failure.set_detail("signal 9");
  job.set_verdict(v1::VERDICT_ERROR);
  EXPECT_EQ(
      WhyEnded("c1", job, runs),
      "job c1-j4 ended with ERROR: run c1-r8 ended with RANK_DIED on node n2 device 1: signal 9; "
      "1 more run like it");
  job.set_verdict(v1::VERDICT_INVALID);
  runs[2].set_verdict(v1::VERDICT_INVALID);
  runs[2].add_reasons("the load was not delivered");
  EXPECT_EQ(
      WhyEnded("c1", job, runs),
      "job c1-j4 ended with INVALID: run c1-r9 was judged so because the load was not delivered");
}

}  // namespace
}  // namespace rackmark
