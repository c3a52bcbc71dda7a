// A cluster in one thread: the real core under a manual clock, fake workers, a log in memory.
// Drives scenario scripts and the prefix test. After each command the log is replayed into a second
// State, which must be the same (law 1), and the devices of live leases are checked to be used
// once.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/status.h"
#include "coordinator/core/decide.h"
#include "tests/scenarios/fake_worker.h"

namespace rackmark {

class Sim {
 public:
  Sim();
  // The events of each command, as they become durable.
  absl::StatusOr<TurnResult> Do(Command command);
  absl::StatusOr<TurnResult> Lead();

  FakeWorker& AddWorker(const std::string& name, uint32_t cpus, uint32_t gpus);
  FakeWorker* Find(const std::string& name);
  // Steps the worker, sends its Report, hands it the answer: unless the log has then reached
  // `silent_from` events, because the coordinator dies before it answers.
  absl::Status Sync(const std::string& name, size_t silent_from = SIZE_MAX);
  void Redial(const std::string& name) { streams_[name] = ++last_stream_; }
  void BreakStream(const std::string& name);
  // What the network still had: the last Report once more, the break of the first stream.
  absl::Status Resend(const std::string& name);
  void BreakFirstStream(const std::string& name);

  // A kill -9 of the coordinator, after `keep` events of the log were written; then Lead().
  void Restart(size_t keep);
  void Advance(Nanos by) { now_ += by; }
  // Sets the clock on the wall, which only schedules and stamps read.
  void SetWall(Nanos unix_ns) { wall_ahead_ = unix_ns - now_; }

  const std::vector<v1::Event>& log() const { return log_; }
  State& state() { return state_; }
  Nanos now() const { return now_; }
  Now clocks() const { return {now_, now_ + wall_ahead_}; }
  std::vector<std::string> names() const;

 private:
  void Check() const;

  State state_;
  HardState replayed_;
  std::vector<v1::Event> log_;
  std::map<std::string, FakeWorker> workers_;
  std::map<std::string, uint64_t> streams_;
  std::map<std::string, uint64_t> report_numbers_;
  std::map<std::string, NodeReported> last_reports_;
  uint64_t last_stream_ = 0;
  int coordinators_ = 0;
  Nanos now_ = 1000 * kSecond;
  Nanos wall_ahead_ = 0;
};

}  // namespace rackmark
