// The worker daemon: the real session, reconcile and report builder of worker/daemon, around
// simulated processes, streams and network. What worker/daemon/daemon.cc and ranks.cc do with files
// and pipes is told again here, as short as it can be. Lives from one start of the daemon to its
// end. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/machine.h"
#include "worker/daemon/backoff.h"
#include "worker/daemon/local_state.h"
#include "worker/daemon/reconcile.h"
#include "worker/daemon/session.h"

namespace rackmark::sim {

class SimDaemon {
 public:
  SimDaemon(World* world, Machine* machine);

  void Turn();
  void LookAgain();  // at the devices
  void Woken();      // after a stop: before anything that came meanwhile
  void Hear(const ConnPtr& conn, const Down& message);
  void ConnEnded(const ConnPtr& conn, const absl::Status& why);
  void Hear(const RankRef& ref, int pid, const RankFrame& frame);
  void Reap(const RankRef& ref, int pid);
  std::vector<ConnPtr> Conns() const;

  // Virtual time of sending the last answered Report, or of the start; for checkers.
  Nanos heard_at() const { return heard_at_; }
  uint64_t epoch() const { return session_.epoch(); }

 private:
  struct Live {
    int pid = 0;
    Nanos heard_at = 0;
  };
  Nanos Clock() const { return machine_.clock().Monotonic(); }
  void Fence();
  void CheckLeftovers();
  void CheckRanks();
  void Beat();
  void ReconcileAll();
  void Do(const Action& action);
  void StartOne(const StartRank& start);
  void Tell(const SendRun& action);
  void Fail(const RankRef& ref, v1::FailureKind kind, const std::string& detail);
  v1::Failure MakeFailure(const RankRef& ref, v1::FailureKind kind, const std::string& detail);
  void Kill(const RankRef& ref);
  void TakeStatus(const RankRef& ref, LocalRank& rank, const RankFrame& frame);
  void Dial();
  void SendReport();
  void Push();
  void OnReply(const Reply_& reply);
  void ScheduleWake();
  Nanos NextWake() const;
  LocalRank* Find(const RankRef& ref);
  RankProcess* Process(const RankRef& ref);
  Streams& streams() { return machine_.streams(); }

  World& world_;
  Machine& machine_;
  Session session_;
  Backoff backoff_;
  LocalState state_;
  std::map<RankRef, Live> live_;
  std::map<int, std::pair<uint32_t, uint64_t>> old_;  // ranks of a former life: device, lease
  ConnPtr sync_, samples_;
  Nanos dial_at_ = 0, dial_samples_at_ = 0;
  uint32_t coordinator_ = 0;
  bool fenced_ = false, opened_ = false, changed_ = true;
  std::string last_fingerprint_;
  std::map<uint64_t, Nanos> sent_at_;  // unanswered Reports, virtual time
  Nanos heard_at_ = 0;
  Nanos reported_at_ = 0, beat_at_ = 0, leftovers_at_ = 0;
  std::optional<Nanos> turned_at_, wake_at_;
};

}  // namespace rackmark::sim
