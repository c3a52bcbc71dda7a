// What single commands do; whole stories are tests/scenarios.
#include "coordinator/core/decide.h"

#include "common/gloo_card.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/timers.h"
#include "coordinator/core/view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using testing::HasSubstr;

class CoreTest : public testing::Test {
 protected:
  CoreTest() { Must(TakeLeadership{"c1", "coordinator/1", "boot-c"}); }

  template <typename Body>
  absl::StatusOr<TurnResult> Do(Body body) {
    Command command;
    command.by.set_name("tester");
    command.body = std::move(body);
    return Turn(state_, command, Now{now_, 7});
  }
  template <typename Body>
  TurnResult Must(Body body) {
    auto result = Do(std::move(body));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : TurnResult{};
  }

  static v1::Report ReportOf(const std::string& name, const std::string& incarnation,
                             uint64_t number) {
    v1::Report report;
    report.mutable_identity()->set_incarnation(incarnation);
    report.mutable_node()->set_name(name);
    report.mutable_node()->set_boot_id("boot-" + name);
    report.mutable_node()->add_devices()->set_kind(v1::DEVICE_KIND_CPU);
    report.add_devices()->set_healthy(true);
    report.set_report_number(number);
    return report;
  }

  static v1::Job OneRun() {
    v1::Job job;
    job.set_name("demo");
    job.mutable_spec()->mutable_gang()->set_devices(1);
    job.mutable_spec()->mutable_gang()->set_kind(v1::DEVICE_KIND_CPU);
    v1::Limits& limits = *job.mutable_spec()->mutable_limits();
    limits.set_setup_ns(kSecond);
    limits.set_prepare_ns(kSecond);
    limits.set_measure_ns(kSecond);
    limits.set_drain_ns(kSecond);
    limits.set_attempts(1);
    job.mutable_spec()->add_runs()->mutable_null();
    return job;
  }

  Nanos now_ = 100 * kSecond;
  State state_;
};

TEST_F(CoreTest, RefusesEverythingBeforeLeadership) {
  State fresh;
  const auto result = Decide(fresh, {{}, SubmitJob{OneRun(), "x"}}, Now{});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(CoreTest, DecideChangesNothing) {
  const auto decision = Decide(state_, {{}, SubmitJob{OneRun(), "x"}}, Now{now_, 7});
  ASSERT_TRUE(decision.ok());
  EXPECT_EQ(decision->events.size(), 1u);
  EXPECT_EQ(decision->events[0].seq(), state_.hard.last_seq + 1);
  EXPECT_TRUE(state_.hard.jobs.empty());
}

TEST_F(CoreTest, OpenJobsHaveABoundedSize) {
  v1::Job job = OneRun();
  job.set_source(std::string(1000, '#'));
  state_.config.open_job_bytes_max = 2 * job.ByteSizeLong() + 10;
  Must(SubmitJob{job, "a"});
  Must(SubmitJob{job, "b"});
  const absl::Status refused = Do(SubmitJob{job, "c"}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("submit it again when some have"));
  Must(SubmitJob{job, "a"});  // known already: no room is asked for
  Must(CancelJob{JobId{1}, "not needed"});
  Must(JudgeRun{RunId{1}, 0, v1::VERDICT_CANCELLED, "hash", {}});
  Must(SubmitJob{job, "c"});
}

TEST_F(CoreTest, EventsNameTheirAuthor) {
  Must(NodeReported{ReportOf("n1", "i1", 1), 1});
  const TurnResult result = Must(SubmitJob{OneRun(), "x"});
  ASSERT_EQ(result.events.size(), 2u);
  EXPECT_EQ(result.events[0].by().name(), "tester");
  EXPECT_EQ(result.events[0].unix_ns(), 7);
  EXPECT_EQ(result.events[1].by().name(), "coordinator");
  EXPECT_EQ(result.push, std::set<NodeId>{NodeId{1}});
}

TEST_F(CoreTest, ReportsAreNoEvents) {
  Must(NodeReported{ReportOf("n1", "i1", 1), 1});
  const TurnResult again = Must(NodeReported{ReportOf("n1", "i1", 2), 1});
  EXPECT_TRUE(again.events.empty());
  EXPECT_TRUE(again.push.empty());
  EXPECT_EQ(std::get<Heard>(again.reply).node, NodeId{1});
}

TEST_F(CoreTest, RefusesForeignLaterAndReplacedWorkers) {
  v1::Report report = ReportOf("n1", "i1", 1);
  report.mutable_identity()->set_cluster_id("c2");
  EXPECT_EQ(Do(NodeReported{report, 1}).status().code(), absl::StatusCode::kFailedPrecondition);
  report.mutable_identity()->set_cluster_id("c1");
  report.mutable_identity()->set_epoch(2);
  EXPECT_EQ(Do(NodeReported{report, 1}).status().code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(state_.hard.nodes.empty());

  Must(NodeReported{ReportOf("n1", "i1", 1), 1});
  Must(NodeReported{ReportOf("n1", "i2", 1), 2});
  EXPECT_EQ(Do(NodeReported{ReportOf("n1", "i1", 2), 1}).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(state_.hard.nodes.at(NodeId{1}).incarnation, "i2");
}

TEST_F(CoreTest, NobodyNewHasAHiddenCharacterInItsName) {
  for (const char* name : {"n\x1b[2J", "n\n", "\xc2\x9b", "n\xe2\x80\xae", "n\xff"}) {
    const absl::Status status = Do(NodeReported{ReportOf(name, "i1", 1), 1}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(status.ToString(), HasSubstr("node.name"));
    EXPECT_EQ(status.message().find(name), absl::string_view::npos) << "said raw";
  }
  EXPECT_TRUE(state_.hard.nodes.empty());
  v1::Event old = Must(NodeReported{ReportOf("na\xc3\xafve 1", "i1", 1), 1}).events.front();

  // Who has such a name in a log of old is heard, and may come back; what is said of it is escaped.
  old.mutable_node_joined()->set_node_id(2);
  old.mutable_node_joined()->mutable_info()->set_name("o\x1b");
  old.set_seq(state_.hard.last_seq + 1);
  ASSERT_TRUE(Replay(state_, old).ok());
  Must(TakeLeadership{"c1", "coordinator/2", "boot-d"});
  Must(NodeReported{ReportOf("o\x1b", "i1", 1), 2});
  Must(NodeReported{ReportOf("o\x1b", "i2", 1), 3});
  for (const char* cluster : {"", "c2"}) {
    v1::Report report = ReportOf("o\x1b", "i1", 2);
    report.mutable_identity()->set_cluster_id(cluster);
    const absl::Status status = Do(NodeReported{report, 2}).status();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(status.ToString(), HasSubstr("o\\x1b"));
  }
  const ChangeNode near{"o1", v1::NODE_CHANGE_CORDON, "", std::nullopt};
  EXPECT_THAT(Do(near).status().ToString(), HasSubstr("did you mean o\\x1b"));
}

TEST_F(CoreTest, RefusesUnknownEnumsByName) {
  v1::Report report = ReportOf("n1", "i1", 1);
  report.mutable_node()->mutable_devices(0)->set_kind(v1::DEVICE_KIND_UNKNOWN);
  EXPECT_THAT(Do(NodeReported{report, 1}).status().ToString(), HasSubstr("DEVICE_KIND_UNKNOWN"));
  report = ReportOf("n1", "i1", 1);
  report.add_leases()->add_ranks();
  EXPECT_THAT(Do(NodeReported{report, 1}).status().ToString(), HasSubstr("RANK_PHASE_UNKNOWN"));
  EXPECT_EQ(Do(JudgeRun{RunId{9}, 1, v1::VERDICT_PASS, "", {}}).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(CoreTest, VersionsOfAnotherEpochSayNothing) {
  v1::Report report = ReportOf("n1", "i1", 1);
  report.set_reflects_version(5);
  Must(NodeReported{report, 1});
  EXPECT_EQ(state_.soft.nodes.at(NodeId{1}).reflects, 0u);
  report.set_report_number(2);
  report.mutable_identity()->set_epoch(1);
  Must(NodeReported{report, 1});
  EXPECT_EQ(state_.soft.nodes.at(NodeId{1}).reflects, 5u);
}

// The limit is reached neither a nanosecond early nor late.
TEST_F(CoreTest, SilenceToTheNanosecond) {
  Must(NodeReported{ReportOf("n1", "i1", 1), 1});
  const Nanos heard = now_;
  const auto tick_to = [&](Nanos until) {
    std::vector<v1::Event> events;
    while (now_ < until) {
      now_ = std::min(until, NextDeadline(state_));
      for (v1::Event& event : Must(Tick{}).events) events.push_back(std::move(event));
    }
    return events;
  };
  EXPECT_TRUE(tick_to(heard + 12 * kSecond - 1).empty());
  EXPECT_EQ(NextDeadline(state_), heard + 12 * kSecond);
  EXPECT_EQ(tick_to(heard + 12 * kSecond).size(), 1u);
  EXPECT_TRUE(tick_to(heard + 15 * kSecond - 1).empty());
  EXPECT_EQ(NextDeadline(state_), heard + 15 * kSecond);
  ASSERT_EQ(tick_to(heard + 15 * kSecond).size(), 1u);
  EXPECT_EQ(state_.hard.nodes.at(NodeId{1}).phase, v1::NODE_PHASE_LOST);
}

TEST_F(CoreTest, ClockOffsetIsThatOfTheBestExchange) {
  const auto report_with = [&](uint64_t number, Nanos out, Nanos back) {
    v1::Report report = ReportOf("n1", "i1", number);
    v1::ClockExchange& x = *report.mutable_exchange();
    x.set_worker_send_ns(1000);  // The worker's clock is 5000 behind ours.
    x.set_coordinator_receive_ns(6000 + out);
    x.set_coordinator_send_ns(6000 + out + 50);
    x.set_worker_receive_ns(1000 + out + 50 + back);
    x.set_worker_boot_id("boot-n1");
    x.set_coordinator_boot_id("boot-c");
    return report;
  };
  Must(NodeReported{report_with(1, 300, 100), 1});
  EXPECT_EQ(ViewNode(state_, NodeId{1}, now_).clock().offset_ns(), 5100);
  EXPECT_EQ(ViewNode(state_, NodeId{1}, now_).clock().uncertainty_ns(), 200);
  Must(NodeReported{report_with(2, 10, 10), 1});
  EXPECT_EQ(ViewNode(state_, NodeId{1}, now_).clock().offset_ns(), 5000);
  Must(NodeReported{report_with(3, 900, 100), 1});
  EXPECT_EQ(ViewNode(state_, NodeId{1}, now_).clock().uncertainty_ns(), 10);
  // An exchange with a coordinator on another boot is of another clock.
  v1::Report foreign = report_with(4, 1, 1);
  foreign.mutable_exchange()->set_coordinator_boot_id("other");
  Must(NodeReported{foreign, 1});
  EXPECT_EQ(ViewNode(state_, NodeId{1}, now_).clock().uncertainty_ns(), 10);
  // Stamps whose differences would overflow are no stamps.
  v1::Report absurd = report_with(5, 1, 1);
  absurd.mutable_exchange()->set_worker_send_ns(INT64_MIN);
  EXPECT_EQ(Do(NodeReported{absurd, 1}).status().code(), absl::StatusCode::kInvalidArgument);
  for (const Nanos edge : {Nanos{1} << 61, -(Nanos{1} << 61)}) {
    absurd.mutable_exchange()->set_worker_send_ns(-edge);
    absurd.mutable_exchange()->set_coordinator_receive_ns(edge);
    absurd.mutable_exchange()->set_coordinator_send_ns(edge);
    absurd.mutable_exchange()->set_worker_receive_ns(-edge);
    EXPECT_EQ(Do(NodeReported{absurd, 1}).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

// A stall is nobody's time, and moves the limits by its length; it does not begin them anew.
TEST_F(CoreTest, LimitsAreReachedAfterARestartThoughTheCoordinatorStalls) {
  v1::Report report = ReportOf("n1", "i1", 1);
  Must(NodeReported{report, 1});
  v1::Job job = OneRun();
  job.mutable_spec()->mutable_limits()->set_setup_ns(60 * kSecond);
  Must(SubmitJob{job, "x"});
  ASSERT_EQ(state_.hard.leases.size(), 1u);
  Must(TakeLeadership{"", "coordinator/2", "boot-c"});
  const auto look = [&](Nanos later) {
    now_ += later;
    Must(Tick{});
    report.set_report_number(report.report_number() + 1);
    Must(NodeReported{report, 1});
  };
  // Five seconds in which it listens, then a stall: of the 60 s, twelve such rounds are left.
  for (int round = 0; round < 11; ++round) {
    for (int i = 0; i < 5; ++i) look(kSecond);
    look(10 * kSecond);
  }
  EXPECT_EQ(state_.hard.jobs.begin()->second.setup_failures, 0u);
  for (int i = 0; i < 10; ++i) look(kSecond);
  ASSERT_EQ(state_.hard.jobs.size(), 1u);
  EXPECT_EQ(state_.hard.jobs.begin()->second.setup_failures, 1u);
}

TEST_F(CoreTest, AnEpochOfNoClusterFencesNobody) {
  v1::Report report = ReportOf("n1", "i1", 1);
  report.mutable_identity()->set_epoch(UINT64_MAX);
  EXPECT_TRUE(Do(NodeReported{report, 1}).ok());
}

// Where `owner` listens for each other rank: as many bytes as Gloo's, beginning with "0>1 ".
std::string GlooCard(uint32_t owner, uint32_t world) {
  std::string card;
  for (uint32_t visitor = 0; visitor < world; ++visitor) {
    if (visitor == owner) continue;
    std::string address = absl::StrCat(owner, ">", visitor, " ");
    address.resize(kGlooAddressBytes, '.');
    card += address;
  }
  return card;
}

class LargeGangTest : public CoreTest {
 protected:
  // All cards known, on nodes of this many ranks; the lease's ranks are to meet.
  void Meet(uint32_t world, uint32_t per_node) {
    for (uint32_t node = 0; node * per_node < world; ++node) {
      v1::Report& report = reports_.emplace_back(ReportOf(absl::StrCat("n", node), "i", 1));
      report.clear_devices();
      report.mutable_node()->clear_devices();
      for (uint32_t device = 0; device < per_node; ++device) {
        v1::Device* info = report.mutable_node()->add_devices();
        info->set_index(device);
        info->set_kind(v1::DEVICE_KIND_CPU);
        report.add_devices()->set_index(device);
        report.mutable_devices()->rbegin()->set_healthy(true);
      }
      Must(NodeReported{report, 1});
    }
    v1::Job job = OneRun();
    job.mutable_spec()->mutable_gang()->set_devices(world);
    Must(SubmitJob{job, "x"});
    ASSERT_EQ(state_.hard.leases.size(), 1u);
    const LeaseState lease = state_.hard.leases.begin()->second;
    for (uint32_t node = 0; node < reports_.size(); ++node) {
      v1::Report& report = reports_[node];
      report.set_report_number(2);
      report.set_reflects_version(DesiredOf(state_, NodeId{node + 1}).version());
      v1::LeaseReport* told = report.add_leases();
      told->set_lease_id(lease.id.value);
      told->set_generation(lease.generation);
      for (const v1::RankPlace& place : lease.placement.ranks()) {
        if (place.node_id() != node + 1) continue;
        v1::RankReport* rank = told->add_ranks();
        rank->set_rank(place.rank());
        rank->set_phase(v1::RANK_PHASE_CARDED);
        rank->mutable_card()->set_lease_id(lease.id.value);
        rank->mutable_card()->set_generation(lease.generation);
        rank->mutable_card()->set_rank(place.rank());
        rank->mutable_card()->set_gloo_addresses(GlooCard(place.rank(), world));
      }
      Must(NodeReported{report, 1});
    }
    ASSERT_EQ(state_.hard.leases.begin()->second.phase, v1::LEASE_PHASE_RENDEZVOUS);
  }
  const v1::DesiredLease& Told(uint64_t node) { return DesiredOf(state_, NodeId{node}).leases(0); }
  std::vector<v1::Report> reports_;
};

TEST_F(LargeGangTest, SmallGangsAreSentWholeCards) {
  Meet(4, 2);
  ASSERT_EQ(Told(1).cards_size(), 4);
  EXPECT_EQ(Told(1).cards(3).gloo_addresses(), GlooCard(3, 4));
}

TEST_F(LargeGangTest, OfALargeOneEachNodeIsSentItsSlice) {
  constexpr uint32_t kWorld = 200;
  Meet(kWorld, 50);
  for (uint64_t node = 1; node <= 4; ++node) {
    const v1::DesiredLease& told = Told(node);
    ASSERT_EQ(told.cards_size(), static_cast<int>(kWorld));
    EXPECT_LT(told.ByteSizeLong(), size_t{2 << 20});  // whole it would be 5.4 MB
    const uint32_t receiver = told.ranks(7).rank();
    for (uint32_t owner = 0; owner < kWorld; ++owner) {
      if (owner == receiver) continue;
      const std::string wide =
          WidenGlooSlice(told.cards(static_cast<int>(owner)).gloo_addresses(),
                         (kWorld - 1) * kGlooAddressBytes, kWorld, owner, receiver);
      const size_t place = receiver > owner ? receiver - 1 : receiver;
      EXPECT_EQ(wide.substr(place * kGlooAddressBytes, 8),
                GlooCard(owner, kWorld).substr(place * kGlooAddressBytes, 8));
    }
  }
}

TEST_F(LargeGangTest, WhatFitsIntoNoMessageIsLeftOutForAll) {
  Meet(200, 150);  // 4.2 MB for the first node; for the second, with 50 ranks, it would fit
  for (uint64_t node = 1; node <= 2; ++node) {
    ASSERT_EQ(Told(node).cards_size(), 200);
    for (const v1::AddressCard& card : Told(node).cards()) {
      ASSERT_EQ(card.gloo_addresses(), "");
    }
  }
}

TEST_F(CoreTest, DevicesAreHeldByTheLeaseThatTheLogNames) {
  for (const char* name : {"n1", "n2", "n3"}) Must(NodeReported{ReportOf(name, "i", 1), 1});
  v1::Job job = OneRun();
  job.mutable_spec()->mutable_gang()->set_devices(2);
  Must(SubmitJob{job, "x"});
  ASSERT_EQ(state_.hard.leases.size(), 1u);
  const uint64_t lease = state_.hard.leases.begin()->first.value;
  EXPECT_EQ(ViewNode(state_, NodeId{1}, now_).devices(0).lease_id(), lease);
  EXPECT_EQ(ViewNode(state_, NodeId{2}, now_).devices(0).lease_id(), lease);
  EXPECT_EQ(ViewNode(state_, NodeId{3}, now_).devices(0).lease_id(), 0u);
}

TEST_F(CoreTest, MissingIsMissingInViews) {
  Must(NodeReported{ReportOf("n1", "i1", 1), 1});
  Must(TakeLeadership{"", "coordinator/2", "boot-c"});
  const v1::NodeStatus status = ViewNode(state_, NodeId{1}, now_);
  EXPECT_FALSE(status.has_silent_ns());
  EXPECT_FALSE(status.has_clock());
  EXPECT_EQ(state_.hard.epoch, 2u);
  EXPECT_EQ(state_.hard.cluster_id, "c1");
}

TEST_F(CoreTest, CheckEventRefusesWhatTheTablesDoNotAllow) {
  v1::Event event;
  event.set_format(1);
  event.set_seq(state_.hard.last_seq + 1);
  event.mutable_run_measuring()->set_run_id(1);
  EXPECT_THAT(CheckEvent(state_.hard, event).ToString(), HasSubstr("no run 1"));
  Must(SubmitJob{OneRun(), "x"});
  EXPECT_FALSE(CheckEvent(state_.hard, event).ok());
  event.set_seq(state_.hard.last_seq + 1);
  EXPECT_THAT(CheckEvent(state_.hard, event).ToString(), HasSubstr("RUN_PHASE_QUEUED"));
  event.set_format(2);
  EXPECT_THAT(CheckEvent(state_.hard, event).ToString(), HasSubstr("format 2"));
  event.set_format(1);
  event.clear_change();
  EXPECT_FALSE(CheckEvent(state_.hard, event).ok());
}

TEST_F(CoreTest, WorstVerdict) {
  EXPECT_EQ(WorstOf(v1::VERDICT_PASS, v1::VERDICT_SKIPPED), v1::VERDICT_SKIPPED);
  EXPECT_EQ(WorstOf(v1::VERDICT_ERROR, v1::VERDICT_FAIL), v1::VERDICT_ERROR);
  EXPECT_EQ(WorstOf(v1::VERDICT_CANCELLED, v1::VERDICT_PASS), v1::VERDICT_CANCELLED);
}

}  // namespace
}  // namespace rackmark
