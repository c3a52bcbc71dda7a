// The coordinator dies after any event of a busy history; a new one that replays that much of the
// log, and workers that go on as they were, must bring every job to its verdict and free every
// device.
#include <cstdlib>
#include <fstream>

#include "coordinator/core/view.h"
#include "gtest/gtest.h"
#include "tests/scenarios/sim.h"

namespace rackmark {
namespace {

v1::Job MakeJob(const std::string& name, uint32_t devices, int runs) {
  v1::Job job;
  job.set_name(name);
  job.mutable_spec()->mutable_gang()->set_devices(devices);
  job.mutable_spec()->mutable_gang()->set_kind(v1::DEVICE_KIND_CPU);
  v1::Limits& limits = *job.mutable_spec()->mutable_limits();
  limits.set_setup_ns(20 * kSecond);
  limits.set_prepare_ns(20 * kSecond);
  limits.set_measure_ns(60 * kSecond);
  limits.set_drain_ns(10 * kSecond);
  limits.set_attempts(3);
  for (int i = 0; i < runs; ++i) {
    job.mutable_spec()->add_runs()->mutable_null()->set_samples_per_step(1);
  }
  return job;
}

// Thrown inside this file alone: the coordinator was killed after `keep` events.
struct Killed {};

class History {
 public:
  explicit History(size_t keep) : keep_(keep) {}

  // Two jobs, a dead rank, a restarted and a lost worker, a cancelled job.
  void Play() {
    Note(sim_.Lead());
    for (const char* name : {"a", "b", "c"}) {
      sim_.AddWorker(name, 2, 0);
      Sync(name);
    }
    Submit("one", 4, 2);
    Submit("two", 2, 2);
    Rounds(6);
    v1::Failure died;
    died.set_kind(v1::FAILURE_KIND_RANK_DIED);
    sim_.Find("a")->broken[0] = died;
    Rounds(3);
    sim_.Find("a")->broken.clear();
    Rounds(5);
    sim_.Find("b")->Restart();
    sim_.Redial("b");
    Rounds(6);
    Rounds(10);
    Submit("three", 6, 1);
    Rounds(5);
    for (int i = 0; i < 20; ++i) Round({"a", "b"});  // c is silent: SUSPECT, then LOST
    Note(sim_.Do({{}, CancelJob{JobId{3}, "not needed"}}));
    for (int i = 0; i < 25; ++i) Round({"a", "b"});  // until its devices have left the lease
    Rounds(30);
  }

  // Everything healthy: each round a second, reports of all, and verdicts for what is to be judged.
  void Heal() {
    keep_ = SIZE_MAX;
    for (const std::string& name : sim_.names()) sim_.Find(name)->broken.clear();
    for (const char* name : {"a", "b", "c"}) {
      if (sim_.Find(name) == nullptr) sim_.AddWorker(name, 2, 0);
    }
    Rounds(80);
  }

  void Rounds(int count) {
    for (int i = 0; i < count; ++i) Round(sim_.names());
  }

  Sim& sim() { return sim_; }

 private:
  void Note(const absl::StatusOr<TurnResult>& result) {
    ASSERT_TRUE(result.ok()) << result.status();
    if (sim_.log().size() >= keep_) throw Killed{};
  }

  // As Sim::Sync, but the answer is not heard if the coordinator dies in this turn.
  void Sync(const std::string& name) {
    const size_t before = sim_.log().size();
    const absl::Status status = sim_.Sync(name, keep_);
    ASSERT_TRUE(status.ok()) << status;
    if (sim_.log().size() >= keep_ && sim_.log().size() > before) throw Killed{};
  }

  void Submit(const std::string& name, uint32_t devices, int runs) {
    Note(sim_.Do({{}, SubmitJob{MakeJob(name, devices, runs), name}}));
  }

  void Round(const std::vector<std::string>& names) {
    sim_.Advance(kSecond);
    Note(sim_.Do({{}, Tick{}}));
    for (const std::string& name : names) Sync(name);
    for (RunId run : RunsToJudge(sim_.state())) {
      const RunState& judged = sim_.state().hard.runs.at(run);
      const v1::Verdict verdict = judged.failure.has_value() ? v1::VERDICT_ERROR : v1::VERDICT_PASS;
      Note(sim_.Do({{}, JudgeRun{run, judged.attempt, verdict, "hash", {}}}));
    }
  }

  size_t keep_;
  Sim sim_;
};

void ExpectAllOver(const State& state, size_t keep) {
  EXPECT_TRUE(state.hard.jobs.empty()) << "after " << keep << " events";
  EXPECT_TRUE(state.hard.leases.empty()) << "after " << keep << " events";
  EXPECT_TRUE(state.hard.runs.empty()) << "after " << keep << " events";
  for (const auto& [id, node] : state.hard.nodes) {
    const v1::NodeStatus status = ViewNode(state, id, state.soft.now);
    EXPECT_EQ(status.phase(), v1::NODE_PHASE_UP);
    for (const v1::DeviceStatus& device : status.devices()) EXPECT_EQ(device.lease_id(), 0u);
  }
}

TEST(Prefix, UndisturbedHistoryIsBusyAndEnds) {
  History history(SIZE_MAX);
  history.Play();
  history.Heal();
  ExpectAllOver(history.sim().state(), history.sim().log().size());
  std::set<v1::Event::ChangeCase> seen;
  for (const v1::Event& event : history.sim().log()) seen.insert(event.change_case());
  std::string kinds;
  for (auto kind : seen) kinds += std::to_string(kind) + " ";
  EXPECT_EQ(seen.size(), 18u) << kinds
                              << "of 5 to 22: every kind of change belongs into this history";
}

TEST(Prefix, RestartAfterEveryEventEndsEveryJob) {
  History whole(SIZE_MAX);
  whole.Play();
  const size_t events = whole.sim().log().size();
  ASSERT_GT(events, 60u);
  for (size_t keep = 1; keep < events; ++keep) {
    History history(keep);
    try {
      history.Play();
    } catch (const Killed&) {
    }
    ASSERT_GE(history.sim().log().size(), keep);
    history.sim().Restart(keep);
    ASSERT_TRUE(history.sim().Lead().ok());
    history.Heal();
    ExpectAllOver(history.sim().state(), keep);
  }
}

// RACKMARK_WRITE_FIXTURE=path writes the history as a log of the present format, for
// coordinator/core/testdata. Fixtures of earlier formats are never rewritten.
TEST(Prefix, WritesFixtureOnDemand) {
  const char* path = std::getenv("RACKMARK_WRITE_FIXTURE");
  if (path == nullptr) GTEST_SKIP() << "RACKMARK_WRITE_FIXTURE is not set";
  History history(SIZE_MAX);
  history.Play();
  history.Heal();
  std::ofstream out(path, std::ios::binary);
  for (const v1::Event& event : history.sim().log()) {
    const std::string bytes = event.SerializeAsString();
    for (int shift = 0; shift < 32; shift += 8) {
      out.put(static_cast<char>((bytes.size() >> shift) & 0xff));
    }
    out << bytes;
  }
  EXPECT_TRUE(out.flush().good());
}

}  // namespace
}  // namespace rackmark
