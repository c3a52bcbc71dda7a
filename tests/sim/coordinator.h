// A coordinator's process: the real turns over the real core and stores, and around them, as short
// as it can be, what coordinator/ and coordinator/serve do with threads and gRPC: an inbox, Sync
// and sample streams, ingest, the reporter, the lead. One object is one machine's coordinator over
// all its lives. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/store/memory_leadership.h"
#include "coordinator/turns.h"
#include "tests/sim/network.h"
#include "tests/sim/timeline.h"

namespace rackmark::sim {

class SimCoordinator : public LoopListener {
 public:
  SimCoordinator(World* world, uint32_t index);
  ~SimCoordinator() override;

  // Faults.
  void Start();
  void Kill();
  void StopProcess();  // SIGSTOP
  void ContinueProcess();
  void StepWall(Nanos by) { clock_.StepWall(by); }

  // From the network; waits while the process is stopped.
  void Hear(const ConnPtr& conn, Up message);
  void ConnEnded(const ConnPtr& conn);
  // Of a client. `then` gets UNAVAILABLE if the inbox is full; it is not called if we die first.
  void Ask(Command command, std::function<void(const Outcome&)> then);

  bool is_serving() const { return turns_ != nullptr; }
  bool stopped() const { return stopped_; }
  bool down() const { return !up_; }
  uint64_t life() const { return life_; }
  const State* state() const { return turns_ ? &turns_->state() : nullptr; }
  const SimClock& clock() const { return clock_; }
  size_t inbox() const { return inbox_.size(); }

 private:
  void DesiredChanged(NodeId node, const State& state) override;
  void RunToJudge(RunId run) override;
  void Committed(const State& state, Now now) override;

  // Templates, as hardly any act is kept: made a std::function of, each would cost an allocation.
  template <typename Act>
  void Later(Nanos delay, Act act) {
    timeline_.After(delay, [this, life = life_, act = std::move(act)]() mutable {
      if (life_ == life) Settle(std::move(act));
    });
  }
  template <typename Act>
  void Settle(Act act) {
    if (!up_) return;
    if (stopped_) {
      held_.emplace_back(std::move(act));
    } else {
      act();
    }
  }
  void TryLead();
  void Lead(uint64_t term);
  void Renew();
  void Die(const absl::Status& why);
  bool Post(Command command, Then then);
  bool Push(Turns::Item item);
  void WantTurn();
  void RunTurn();
  void WaitForDue();
  void HearReport(const ConnPtr& conn, std::shared_ptr<v1::Report> report);
  // Of a Report, what its answer repeats.
  struct Stamps {
    uint64_t number = 0;
    Nanos sent = 0, received = 0;
  };
  void Answer(const ConnPtr& conn, const Stamps& stamps, const Outcome& outcome);
  void SendReply(const ConnPtr& conn, std::shared_ptr<v1::SyncReply> reply);
  std::shared_ptr<v1::SyncReply> ReplyFor(NodeId node, const State& state) const;
  void Ingest();
  bool Knows(const v1::ChunkHeader& header) const;
  void Judge(RunId run);

  World& world_;
  Timeline& timeline_;
  const uint32_t index_;
  SimClock clock_;
  const std::string boot_id_;
  bool up_ = false, stopped_ = false;
  uint64_t life_ = 0;
  uint64_t last_stream_ = 0;
  std::vector<std::function<void()>> held_;  // while the process is stopped

  // Of this life.
  std::unique_ptr<MemoryLeadership> leadership_;
  std::unique_ptr<EventStore> events_;
  std::unique_ptr<Turns> turns_;
  std::deque<Turns::Item> inbox_;
  bool turn_wanted_ = false;
  Nanos busy_until_ = 0;
  uint64_t due_ = 0;                      // of the last wait for NextDue
  std::map<uint64_t, uint64_t> streams_;  // conn -> number of the Sync stream
  std::map<uint64_t, NodeId> node_of_;    // conn -> node
  std::map<NodeId, ConnPtr> attached_;
  std::map<uint64_t, ConnPtr> conns_;
  std::map<uint64_t, uint64_t> version_sent_;  // by conn
  std::deque<std::pair<ConnPtr, std::shared_ptr<const v1::SampleBatch>>> batches_;
};

}  // namespace rackmark::sim
