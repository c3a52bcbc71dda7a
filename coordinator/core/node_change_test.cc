// What people ask of a node, and that asking again changes nothing.
#include "coordinator/core/node_change.h"

#include "coordinator/core/desired.h"
#include "coordinator/core/view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

class NodeChangeTest : public testing::Test {
 protected:
  NodeChangeTest() {
    Must(TakeLeadership{"c1", "coordinator/1", "boot-c"});
    for (const char* name : {"rack1-node1", "rack1-node2", "rack2-node1", "storage"}) {
      v1::Report report;
      report.mutable_identity()->set_incarnation(absl::StrCat(name, "/1"));
      report.mutable_node()->set_name(name);
      report.mutable_node()->add_devices()->set_kind(v1::DEVICE_KIND_CPU);
      report.set_report_number(1);
      Must(NodeReported{report, 1});
    }
  }
  template <typename Body>
  absl::StatusOr<TurnResult> Do(Body body) {
    Command command;
    command.by.set_name("tester");
    command.body = std::move(body);
    return Turn(state_, command, Now{100 * kSecond, 7});
  }
  template <typename Body>
  TurnResult Must(Body body) {
    auto result = Do(std::move(body));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : TurnResult{};
  }
  // Whether it changed something; then it made one event.
  bool Ask(v1::NodeChange change, const std::string& reason = "",
           std::optional<Nanos> grace = std::nullopt) {
    const TurnResult result = Must(ChangeNode{"rack1-node2", change, reason, grace});
    const NodeAltered& reply = std::get<NodeAltered>(result.reply);
    EXPECT_EQ(reply.node, NodeId{2});
    EXPECT_EQ(result.events.size(), reply.changed ? 1U : 0U);
    for (const v1::Event& event : result.events) EXPECT_EQ(event.by().name(), "tester");
    return reply.changed;
  }
  std::string Refused(ChangeNode command, absl::StatusCode code) {
    const absl::Status status = Do(std::move(command)).status();
    EXPECT_EQ(status.code(), code);
    return std::string(status.message());
  }
  v1::NodeStatus Status() const { return ViewNode(state_, NodeId{2}, 100 * kSecond); }

  State state_;
};

TEST_F(NodeChangeTest, ANameIsEscapedWhereItIsSaidAgain) {
  EXPECT_THAT(Refused(ChangeNode{"a\x1b[2J", v1::NODE_CHANGE_CORDON, "", std::nullopt},
                      absl::StatusCode::kNotFound),
              testing::Not(HasSubstr("\x1b")));
}

TEST_F(NodeChangeTest, CordonDrainAndBack) {
  EXPECT_TRUE(Ask(v1::NODE_CHANGE_CORDON, "disk"));
  EXPECT_FALSE(Ask(v1::NODE_CHANGE_CORDON, "disk"));
  EXPECT_FALSE(Ask(v1::NODE_CHANGE_CORDON)) << "no reason takes none away";
  EXPECT_TRUE(Ask(v1::NODE_CHANGE_CORDON, "fan"));
  EXPECT_EQ(Status().reason(), "cordoned: fan");
  EXPECT_TRUE(Ask(v1::NODE_CHANGE_DRAIN, "", 5 * kSecond));
  EXPECT_FALSE(Ask(v1::NODE_CHANGE_DRAIN, "", 5 * kSecond));
  EXPECT_TRUE(Ask(v1::NODE_CHANGE_DRAIN)) << "each job's own grace";
  EXPECT_TRUE(Status().cordoned() && Status().drain());
  EXPECT_EQ(Status().reason(), "cordoned, to be drained: fan");
  EXPECT_TRUE(Ask(v1::NODE_CHANGE_CORDON)) << "what is on it may stay";
  EXPECT_FALSE(Status().drain());
  EXPECT_TRUE(Ask(v1::NODE_CHANGE_UNCORDON));
  EXPECT_FALSE(Ask(v1::NODE_CHANGE_UNCORDON));
  EXPECT_FALSE(Status().cordoned());
  EXPECT_EQ(Status().reason(), "");
}

TEST_F(NodeChangeTest, QuarantineAndReadmission) {
  EXPECT_FALSE(Ask(v1::NODE_CHANGE_READMIT)) << "it is good, and has no offences";
  EXPECT_TRUE(Ask(v1::NODE_CHANGE_QUARANTINE));
  EXPECT_FALSE(Ask(v1::NODE_CHANGE_QUARANTINE));
  EXPECT_EQ(Status().standing(), v1::STANDING_QUARANTINED);
  EXPECT_EQ(Status().standing_reason(), "by hand");
  EXPECT_TRUE(Ask(v1::NODE_CHANGE_QUARANTINE, "smells"));
  EXPECT_EQ(Status().standing_reason(), "smells");
  state_.hard.nodes.at(NodeId{2}).offences.emplace_back();
  EXPECT_EQ(Status().offences(), 1U);
  EXPECT_TRUE(Ask(v1::NODE_CHANGE_READMIT));
  EXPECT_FALSE(Ask(v1::NODE_CHANGE_READMIT));
  EXPECT_EQ(Status().standing(), v1::STANDING_GOOD);
  EXPECT_EQ(Status().offences(), 0U);
}

TEST_F(NodeChangeTest, WhoIsNotThereIsNotFoundAndTheNearestAreNamed) {
  const std::string why =
      Refused({"rack1-nod", v1::NODE_CHANGE_CORDON, "", std::nullopt}, absl::StatusCode::kNotFound);
  EXPECT_THAT(why, HasSubstr("there is no node rack1-nod; did you mean rack1-node1, rack1-node2"));
  EXPECT_THAT(why, HasSubstr("rackmark nodes lists"));
  EXPECT_THAT(
      Refused({"zzz", v1::NODE_CHANGE_CORDON, "", std::nullopt}, absl::StatusCode::kNotFound),
      Not(HasSubstr("did you mean")));
}

TEST_F(NodeChangeTest, WhatCannotBeMeantIsRefused) {
  const auto invalid = [&](v1::NodeChange change, std::optional<Nanos> grace,
                           const std::string& reason) {
    return Refused({"storage", change, reason, grace}, absl::StatusCode::kInvalidArgument);
  };
  EXPECT_THAT(invalid(v1::NODE_CHANGE_UNKNOWN, std::nullopt, ""), HasSubstr("READMIT"));
  EXPECT_THAT(invalid(static_cast<v1::NodeChange>(99), std::nullopt, ""), HasSubstr("READMIT"));
  EXPECT_THAT(invalid(v1::NODE_CHANGE_CORDON, kSecond, ""), HasSubstr("DRAIN alone"));
  EXPECT_THAT(invalid(v1::NODE_CHANGE_DRAIN, -1, ""), HasSubstr("grace"));
  EXPECT_THAT(invalid(v1::NODE_CHANGE_DRAIN, 3601 * kSecond, ""), HasSubstr("grace"));
  EXPECT_THAT(invalid(v1::NODE_CHANGE_CORDON, std::nullopt, std::string(513, 'x')),
              HasSubstr("512 at most"));
}

TEST_F(NodeChangeTest, OnlyWhatIsGoneIsForgotten) {
  EXPECT_THAT(Refused({"storage", v1::NODE_CHANGE_FORGET, "", std::nullopt},
                      absl::StatusCode::kFailedPrecondition),
              HasSubstr("node storage is not lost; stop its worker"));
  state_.hard.nodes.at(NodeId{4}).phase = v1::NODE_PHASE_LOST;
  JobState& job = state_.hard.jobs[JobId{1}];
  job.id = JobId{1};
  job.avoid = {NodeId{4}};
  RunState& run = state_.hard.runs[RunId{1}];
  run.job = JobId{1};
  run.placement.add_ranks()->set_node_id(4);
  EXPECT_THAT(Refused({"storage", v1::NODE_CHANGE_FORGET, "", std::nullopt},
                      absl::StatusCode::kFailedPrecondition),
              HasSubstr("node storage has work of job c1-j1; wait until that has ended"));
  state_.hard.runs.clear();
  SuiteState& suite = state_.hard.suites[SuiteId{1}];
  suite.checked = true;
  suite.suite.set_name("night");
  EXPECT_THAT(Refused({"storage", v1::NODE_CHANGE_FORGET, "", std::nullopt},
                      absl::StatusCode::kFailedPrecondition),
              HasSubstr("node storage is expected by suite night, which is open"));
  suite.suite.mutable_expect()->add_nodes("rack1-node1");
  (*suite.suite.mutable_expect()->mutable_labels())["row"] = "1";
  v1::Event event;
  event.set_format(1);
  event.set_seq(state_.hard.last_seq + 1);
  event.mutable_node_forgotten()->set_node_id(1);
  EXPECT_FALSE(CheckEvent(state_.hard, event).ok()) << "it is not lost";
  const uint64_t version = DesiredOf(state_, NodeId{4}).version();
  const TurnResult result = Must(ChangeNode{"storage", v1::NODE_CHANGE_FORGET, "", std::nullopt});
  ASSERT_EQ(result.events.size(), 1U);
  EXPECT_EQ(result.events[0].node_forgotten().node_id(), 4U);
  EXPECT_EQ(state_.hard.nodes.count(NodeId{4}), 0U);
  EXPECT_EQ(state_.soft.nodes.count(NodeId{4}), 0U);
  EXPECT_TRUE(job.avoid.empty());
  state_.hard.suites.clear();
  Refused({"storage", v1::NODE_CHANGE_FORGET, "", std::nullopt}, absl::StatusCode::kNotFound);
  // Its name is free; what the old worker was told of is older than anything that is told now.
  v1::Report report;
  report.mutable_identity()->set_incarnation("storage/1");
  report.mutable_node()->set_name("storage");
  report.set_report_number(1);
  EXPECT_EQ(std::get<Heard>(Must(NodeReported{report, 1}).reply).node, NodeId{5});
  EXPECT_GT(DesiredOf(state_, NodeId{5}).version(), version);
}

}  // namespace
}  // namespace rackmark
