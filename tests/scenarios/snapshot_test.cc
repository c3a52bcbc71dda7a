// A snapshot after any event, and the events after it, give the State that all events give: at
// every prefix of every script's log.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "coordinator/core/decide.h"
#include "coordinator/core/record.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/scenarios/describe.h"
#include "tests/scenarios/script.h"

namespace rackmark {
namespace {

using testing::HasSubstr;

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<v1::Event> LogOf(const std::string& name) {
  auto log = LogOfScript(ReadAll(std::filesystem::path(RACKMARK_SCENARIOS) / name));
  EXPECT_TRUE(log.ok()) << log.status();
  return *std::move(log);
}

std::vector<std::string> Scripts() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(RACKMARK_SCENARIOS)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".txt" && name != "CMakeLists.txt") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

HardState Through(const v1::Snapshot& snapshot) {
  v1::Snapshot read;
  EXPECT_TRUE(read.ParseFromString(snapshot.SerializeAsString()));
  auto hard = FromSnapshot(read);
  EXPECT_TRUE(hard.ok()) << hard.status();
  return hard.ok() ? *std::move(hard) : HardState{};
}

class SnapshotAt : public testing::TestWithParam<std::string> {};

TEST_P(SnapshotAt, EveryPrefixThenTheTailIsTheWhole) {
  const std::vector<v1::Event> log = LogOf(GetParam());
  State whole;
  std::vector<v1::EndedJob> ended;
  for (const v1::Event& event : log) ASSERT_TRUE(Replay(whole, event, &ended).ok());
  const std::string expected = DescribeHard(whole.hard);
  const std::string expected_bytes = TakeSnapshot(whole.hard).DebugString();
  State prefix;
  size_t ended_before = 0;
  for (size_t keep = 1; keep <= log.size(); ++keep) {
    ASSERT_TRUE(Replay(prefix, log[keep - 1]).ok());
    if (log[keep - 1].has_job_ended()) ++ended_before;
    State again;
    again.hard = Through(TakeSnapshot(prefix.hard));
    ASSERT_EQ(DescribeHard(again.hard), DescribeHard(prefix.hard)) << "after " << keep;
    std::vector<v1::EndedJob> later;
    for (size_t i = keep; i < log.size(); ++i) {
      const absl::Status status = Replay(again, log[i], &later);
      ASSERT_TRUE(status.ok()) << "after " << keep << ": " << status;
    }
    ASSERT_EQ(DescribeHard(again.hard), expected) << "after " << keep;
    ASSERT_EQ(TakeSnapshot(again.hard).DebugString(), expected_bytes) << "after " << keep;
    ASSERT_EQ(later.size(), ended.size() - ended_before);
    for (size_t i = 0; i < later.size(); ++i) {
      ASSERT_EQ(later[i].DebugString(), ended[ended_before + i].DebugString());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, SnapshotAt, testing::ValuesIn(Scripts()), [](const auto& test) {
  std::string name = test.param.substr(0, test.param.size() - 4);
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

// In the middle of a busy story, so that all lists have something in them.
v1::Snapshot Busy() {
  State state;
  v1::Snapshot best;
  for (const v1::Event& event : LogOf("worker-restart.txt")) {
    EXPECT_TRUE(Replay(state, event).ok());
    v1::Snapshot now = TakeSnapshot(state.hard);
    if (now.leases_size() > 0 && now.leases(0).run_id() != 0) best = now;
  }
  EXPECT_GT(best.runs_size(), 0);
  return best;
}

TEST(Snapshot, WhatDoesNotFitTogetherIsRefused) {
  const auto refuse = [](void (*spoil)(v1::Snapshot&), const std::string& why) {
    v1::Snapshot snapshot = Busy();
    spoil(snapshot);
    const auto hard = FromSnapshot(snapshot);
    EXPECT_EQ(hard.status().code(), absl::StatusCode::kDataLoss) << why;
    EXPECT_THAT(std::string(hard.status().message()), HasSubstr(why));
  };
  refuse([](v1::Snapshot& s) { s.set_format(2); }, "format 2");
  refuse([](v1::Snapshot& s) { s.clear_cluster_id(); }, "no cluster");
  refuse([](v1::Snapshot& s) { s.mutable_runs()->RemoveLast(); }, "run");
  refuse([](v1::Snapshot& s) { s.clear_nodes(); }, "no node");
  refuse([](v1::Snapshot& s) { s.clear_jobs(); }, "does not fit");
  refuse([](v1::Snapshot& s) { s.clear_leases(); }, "lacks its lease");
  refuse([](v1::Snapshot& s) { s.set_last_run(0); }, "out of order");
  refuse([](v1::Snapshot& s) { *s.add_leases() = s.leases(0); }, "out of order");
  refuse([](v1::Snapshot& s) { s.mutable_runs(0)->set_verdict(v1::VERDICT_PASS); }, "run");
  refuse([](v1::Snapshot& s) { s.mutable_leases(0)->set_run_id(99); }, "lease");
}

TEST(Snapshot, SubmissionsOfEndedJobsAreKnownForABoundedWhile) {
  State state;
  uint64_t seq = 0;
  const auto apply = [&](v1::Event event) {
    event.set_format(1);
    event.set_seq(++seq);
    const absl::Status status = Replay(state, event);
    ASSERT_TRUE(status.ok()) << status;
  };
  const auto end_one = [&](uint64_t id) {
    v1::Event submitted, judging, judged, over;
    submitted.mutable_job_submitted()->set_job_id(id);
    submitted.mutable_job_submitted()->set_first_run_id(id);
    submitted.mutable_job_submitted()->set_submission_id(absl::StrCat("s", id));
    submitted.mutable_job_submitted()->mutable_job()->mutable_spec()->add_runs();
    apply(submitted);
    judging.mutable_run_judging()->set_run_id(id);
    judging.mutable_run_judging()->mutable_failure()->set_kind(v1::FAILURE_KIND_CANCELLED);
    apply(judging);
    judged.mutable_run_judged()->set_run_id(id);
    judged.mutable_run_judged()->set_verdict(v1::VERDICT_CANCELLED);
    apply(judged);
    over.mutable_job_ended()->set_job_id(id);
    over.mutable_job_ended()->set_verdict(v1::VERDICT_CANCELLED);
    apply(over);
  };
  v1::Event created;
  created.mutable_cluster_created()->set_cluster_id("c1");
  apply(created);
  for (uint64_t id = 1; id <= kEndedSubmissionsKept; ++id) end_one(id);
  EXPECT_EQ(state.hard.submissions.count("s1"), 1u);
  end_one(kEndedSubmissionsKept + 1);
  EXPECT_EQ(state.hard.submissions.count("s1"), 0u);
  EXPECT_EQ(state.hard.submissions.count("s2"), 1u);
  EXPECT_EQ(state.hard.submissions.size(), kEndedSubmissionsKept);
  EXPECT_TRUE(state.hard.jobs.empty());
  const HardState again = Through(TakeSnapshot(state.hard));
  EXPECT_EQ(DescribeHard(again), DescribeHard(state.hard));
}

// The first format must load for ever. RACKMARK_WRITE_SNAPSHOT=path writes one of the present
// format.
TEST(Snapshot, FirstFormatLoads) {
  if (const char* path = std::getenv("RACKMARK_WRITE_SNAPSHOT")) {
    std::ofstream(path, std::ios::binary) << Busy().SerializeAsString();
  }
  v1::Snapshot snapshot;
  ASSERT_TRUE(snapshot.ParseFromString(ReadAll(RACKMARK_SNAPSHOT_FIXTURE)));
  const auto hard = FromSnapshot(snapshot);
  ASSERT_TRUE(hard.ok()) << hard.status();
  EXPECT_EQ(hard->cluster_id, "c0ffee00");
  ASSERT_EQ(hard->jobs.size(), 1u);
  ASSERT_EQ(hard->leases.size(), 1u);
  EXPECT_EQ(hard->nodes.begin()->second.leases.size(), 1u);
  EXPECT_EQ(hard->runs.begin()->second.placement.ranks_size(),
            static_cast<int>(hard->jobs.begin()->second.job.spec().gang().devices()));
}

}  // namespace
}  // namespace rackmark
