// What tests of suites and schedules begin from: a core under two manual clocks, nodes that report,
// jobs that end by the judge alone. Test code only.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/zone.h"
#include "coordinator/core/decide.h"
#include "gtest/gtest.h"

namespace rackmark {

inline v1::Job TestJob(const std::string& name) {
  v1::Job job;
  job.set_name(name);
  job.mutable_spec()->mutable_gang()->set_devices(1);
  job.mutable_spec()->mutable_gang()->set_kind(v1::DEVICE_KIND_CPU);
  v1::Limits& limits = *job.mutable_spec()->mutable_limits();
  limits.set_setup_ns(10 * kSecond);
  limits.set_prepare_ns(10 * kSecond);
  limits.set_measure_ns(60 * kSecond);
  limits.set_drain_ns(10 * kSecond);
  limits.set_attempts(1);
  job.mutable_spec()->add_runs()->mutable_null();
  return job;
}

inline v1::Job TestPart(const std::string& name,
                        const std::vector<std::pair<std::string, v1::DependencyWhen>>& after = {}) {
  v1::Job job = TestJob(name);
  job.mutable_part()->set_name(name);
  for (const auto& [part, when] : after) {
    v1::Dependency* dependency = job.mutable_part()->add_after();
    dependency->set_part(part);
    dependency->set_when(when);
  }
  return job;
}

class TestCore {
 public:
  explicit TestCore(Nanos wall = 1'800'000'000 * kSecond) : wall_(wall) {
    state_.config.find_zone = FindZone;
    Must(TakeLeadership{"c1", "coordinator/1", "boot-c"});
  }

  template <typename Body>
  absl::StatusOr<TurnResult> Do(Body body) {
    Command command;
    command.by.set_name("tester");
    command.body = std::move(body);
    auto result = Turn(state_, command, clocks());
    if (!result.ok()) return result;
    for (const v1::Event& event : result->events) log_.push_back(event);
    ends_.push_back(log_.size());
    EXPECT_TRUE(Settle(state_, nullptr, clocks()).empty());
    return result;
  }
  template <typename Body>
  TurnResult Must(Body body) {
    auto result = Do(std::move(body));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : TurnResult{};
  }
  TurnResult TickAt(Nanos wall) {
    wall_ = wall;
    return Must(Tick{});
  }
  // Both clocks.
  TurnResult Pass(Nanos by) {
    wall_ += by;
    now_ += by;
    return Must(Tick{});
  }

  // Its Report, as often as it is called.
  void Node(const std::string& name) {
    v1::Report report;
    report.mutable_identity()->set_incarnation("i-" + name);
    report.mutable_node()->set_name(name);
    report.mutable_node()->set_boot_id("boot-" + name);
    report.mutable_node()->add_devices()->set_kind(v1::DEVICE_KIND_CPU);
    report.add_devices()->set_healthy(true);
    report.set_report_number(++reports_);
    Must(NodeReported{report, 1});
  }

  // Ends a job that has no lease: cancelled, and then judged so.
  void End(JobId job, v1::Verdict verdict) {
    if (!state_.hard.jobs.at(job).cancel_requested) Must(CancelJob{job, "over"});
    for (RunId run : RunsOf(state_.hard.jobs.at(job))) {
      Must(JudgeRun{run, state_.hard.runs.at(run).attempt, verdict, "hash", {}});
    }
  }

  // kill -9, and a new leader that replays so much of the log.
  void Restart(size_t keep) {
    CoreConfig config = state_.config;
    state_ = State{};
    state_.config = std::move(config);
    log_.resize(keep);
    for (const v1::Event& event : log_) ASSERT_TRUE(Replay(state_, event).ok());
    Must(TakeLeadership{"c1", "coordinator/2", "boot-c"});
  }

  State& state() { return state_; }
  HardState& hard() { return state_.hard; }
  Now clocks() const { return {now_, wall_}; }
  void SetWall(Nanos wall) { wall_ = wall; }
  const std::vector<v1::Event>& log() const { return log_; }
  // The lengths of the log after each turn: a transaction is never cut.
  const std::vector<size_t>& ends() const { return ends_; }

 private:
  State state_;
  Nanos now_ = 1000 * kSecond;
  Nanos wall_;
  uint64_t reports_ = 0;
  std::vector<v1::Event> log_;
  std::vector<size_t> ends_;
};

}  // namespace rackmark
