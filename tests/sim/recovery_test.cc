// A scripted hour of a small cluster with jobs, suites, schedules, operators and some faults: a new
// coordinator that finds a prefix of its log brings everything to its end; and whichever of its
// writes fails, with the bytes down or not, nothing that was acked is lost.
#include <map>
#include <memory>
#include <set>

#include "common/log.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/record.h"
#include "coordinator/snapshot.h"
#include "gtest/gtest.h"
#include "tests/scenarios/fake_worker.h"
#include "tests/sim/args.h"

namespace rackmark::sim {
namespace {

class Quiet : public testing::Environment {
 public:
  void SetUp() override { InitLog("sim_recovery_test", LogLevel::kError); }
};
const auto* const kQuiet = testing::AddGlobalTestEnvironment(new Quiet);

constexpr uint64_t kEvery = RACKMARK_SIM_EVERY;  // 1; more where code is instrumented
constexpr uint32_t kNodes = 3;
constexpr uint32_t kDevices = 2;

// The script is what this seed makes of these knobs.
Knobs Script(Nanos length) {
  Knobs knobs;
  knobs.seed = 4711;
  knobs.workers = kNodes;
  knobs.devices = kDevices;
  knobs.faults_for = length;
  knobs.heal_within = 3600 * kSecond;
  knobs.jobs = static_cast<uint32_t>(length / (150 * kSecond));
  knobs.suites = knobs.schedules = 2;
  knobs.cancel = 0.2;
  knobs.operators = true;
  knobs.delay_min = kMillisecond;
  knobs.delay_max = 20 * kMillisecond;
  knobs.rank_kills = 300 * kSecond;
  knobs.daemon_kills = 900 * kSecond;
  knobs.partitions = 900 * kSecond;
  knobs.snapshot_events = 10'000;
  return knobs;
}

// A coordinator over some State, and workers that began anew. Time is what a test says.
class Successor {
 public:
  Successor(const HardState& found, Nanos wall) : wall_(wall) {
    state_.hard = found;
    Do(TakeLeadership{"c0ffee00", "successor/1", "boot"});
    for (uint32_t i = 0; i < kNodes; ++i) {
      workers_.push_back(std::make_unique<FakeWorker>(absl::StrCat("node-", i), kDevices, 0));
    }
  }

  // The faults are over, and people undo what they did to nodes and schedules.
  bool ComesToItsEnd() {
    Undo();
    for (int second = 1; second <= 3600; ++second) {
      Second(static_cast<uint64_t>(second));
      if (IsOver()) return true;
      if (second % 30 == 0) Undo();
    }
    return false;
  }

  std::string Left() const {
    std::string left;
    for (const auto& [id, job] : state_.hard.jobs) absl::StrAppend(&left, " job ", id.value);
    for (const auto& [id, lease] : state_.hard.leases) {
      absl::StrAppend(&left, " lease ", id.value, " ", v1::LeasePhase_Name(lease.phase));
    }
    for (const auto& [id, run] : state_.hard.runs) {
      if (run.phase == v1::RUN_PHASE_ENDED) continue;
      absl::StrAppend(&left, " run ", id.value, " ", v1::RunPhase_Name(run.phase));
    }
    for (const auto& [id, suite] : state_.hard.suites) {
      if (IsOpen(suite)) absl::StrAppend(&left, " suite ", id.value);
    }
    return left;
  }

 private:
  template <typename Body>
  void Do(Body body) {
    ++now_;
    const auto turn = Turn(state_, {CorePrincipal(), std::move(body)}, {now_, wall_ + now_});
    ASSERT_TRUE(turn.ok()) << turn.status();
  }

  void Undo() {
    std::vector<std::string> schedules, cordoned, quarantined;
    for (const auto& [name, id] : state_.hard.schedule_by_name) schedules.push_back(name);
    for (const auto& [id, node] : state_.hard.nodes) {
      if (node.cordoned) cordoned.push_back(node.info.name());
      if (node.standing == v1::STANDING_QUARANTINED) quarantined.push_back(node.info.name());
    }
    for (const std::string& name : schedules) Do(RemoveSchedule{name});
    for (const std::string& name : cordoned) {
      Do(ChangeNode{name, v1::NODE_CHANGE_UNCORDON, "", std::nullopt});
    }
    for (const std::string& name : quarantined) {
      Do(ChangeNode{name, v1::NODE_CHANGE_READMIT, "", std::nullopt});
    }
  }

  void Second(uint64_t number) {
    now_ += kSecond;
    Do(Tick{});
    for (size_t i = 0; i < workers_.size(); ++i) {
      FakeWorker& worker = *workers_[i];
      worker.Step();
      Do(NodeReported{worker.MakeReport(number), i + 1});
      v1::SyncReply reply;
      reply.mutable_identity()->set_cluster_id(state_.hard.cluster_id);
      reply.mutable_identity()->set_epoch(state_.hard.epoch);
      *reply.mutable_desired() = DesiredOf(state_, state_.hard.node_by_name.at(worker.name()));
      worker.Hear(reply);
    }
    for (const RunId run : RunsToJudge(state_)) {
      const uint32_t attempt = state_.hard.runs.at(run).attempt;
      Do(JudgeRun{run, attempt, v1::VERDICT_PASS, "hash", {}});
    }
  }

  bool IsOver() const {
    for (const auto& [id, suite] : state_.hard.suites) {
      if (IsOpen(suite)) return false;
    }
    return state_.hard.jobs.empty() && state_.hard.leases.empty();
  }

  State state_;
  std::vector<std::unique_ptr<FakeWorker>> workers_;
  Nanos now_ = 1000 * kSecond;
  const Nanos wall_;
};

// A suite and its jobs are one decision, in one transaction: no log ends between them.
bool IsTorn(const HardState& hard) {
  for (const auto& [id, suite] : hard.suites) {
    const auto jobs = static_cast<uint64_t>(suite.suite.jobs_size());
    if (suite.first_job.value + jobs - 1 > hard.last_job) return true;
  }
  return false;
}

// What comes after a prefix is this test's own: nothing in it is of chance.
constexpr const char* kAgain = "\nreplay: sim_recovery_test --gtest_filter=Recovery.Prefixes*";

TEST(Recovery, PrefixesOfAnHourComeToTheirEnd) {
  std::vector<v1::Event> log;
  const Knobs knobs = Script(3600 * kSecond);
  ASSERT_TRUE(Replays(knobs)) << ReplayArgs(knobs);
  const Result hour = Simulate(knobs, nullptr, &log);
  ASSERT_FALSE(hour.violation) << Complaint(RACKMARK_SIM, knobs, *hour.violation);
  ASSERT_GT(log.size(), 500u);
  std::set<v1::Event::ChangeCase> kinds;
  State state;
  for (const v1::Event& event : log) {
    kinds.insert(event.change_case());
    ASSERT_TRUE(Replay(state, event).ok()) << event.ShortDebugString();
    // To play each to its end would take minutes: some of them.
    if (event.seq() % (37 * kEvery) != 0 || IsTorn(state.hard)) continue;
    const std::string bytes = SnapshotBytes(state.hard);
    v1::Snapshot snapshot;
    ASSERT_TRUE(snapshot.ParseFromString(bytes));
    const auto again = FromSnapshot(snapshot);
    ASSERT_TRUE(again.ok()) << again.status();
    ASSERT_EQ(SnapshotBytes(*again), bytes) << "after event " << event.seq() << kAgain;
    Successor successor(*again, event.unix_ns());
    ASSERT_TRUE(successor.ComesToItsEnd())
        << "after event " << event.seq() << successor.Left() << kAgain;
  }
  // All but ClusterRestored, which no running cluster writes, are in an hour.
  for (const auto kind :
       {v1::Event::kNodeChanged, v1::Event::kRunRequeued, v1::Event::kJobCancelRequested,
        v1::Event::kNodeCordoned, v1::Event::kNodeStandingChanged, v1::Event::kLeaseYielding,
        v1::Event::kSuiteSubmitted, v1::Event::kSuiteEnded, v1::Event::kScheduleSet,
        v1::Event::kScheduleDecided, v1::Event::kScheduleRemoved, v1::Event::kLeaseEnded}) {
    EXPECT_EQ(kinds.count(kind), 1u) << kind;
  }
  std::printf("%zu events, %zu kinds\n", log.size(), kinds.size());
}

TEST(Recovery, WhicheverWriteFailsNothingIsLost) {
  Knobs knobs = Script(120 * kSecond);
  knobs.jobs = 4;
  knobs.snapshot_events = 40;
  const Result whole = Simulate(knobs);
  ASSERT_FALSE(whole.violation) << Complaint(RACKMARK_SIM, knobs, *whole.violation);
  ASSERT_GT(whole.stats.writes, 60u);
  for (uint64_t write = 1; write <= whole.stats.writes; write += kEvery) {
    for (const bool lands : {false, true}) {
      knobs.fail_write = write;
      knobs.fail_lands = lands;
      ASSERT_TRUE(Replays(knobs)) << ReplayArgs(knobs);
      const Result result = Simulate(knobs);
      ASSERT_FALSE(result.violation) << Complaint(RACKMARK_SIM, knobs, *result.violation);
      EXPECT_EQ(result.stats.happened.at("write failed"), 1u) << ReplayArgs(knobs);
    }
  }
}

}  // namespace
}  // namespace rackmark::sim
