// A worker's machine: its clock, its devices, the processes of ranks, the spool, and the worker
// daemon on it, if one runs. What survives which fault is decided here: a daemon's death leaves
// ranks and spool, a reboot nothing. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/network.h"
#include "tests/sim/rank.h"
#include "tests/sim/streams.h"
#include "tests/sim/timeline.h"

namespace rackmark::sim {

class SimDaemon;

class Machine {
 public:
  Machine(World* world, uint32_t index);
  ~Machine();

  // Faults.
  void StartDaemon();
  void KillDaemon(Nanos down_for);
  void StopDaemon();  // SIGSTOP
  void ContinueDaemon();
  void Reboot(Nanos down_for);
  void StepWall(Nanos by) { clock_.StepWall(by); }
  // The driver says that the device is broken, or fine again.
  void SetSick(uint32_t device, bool sick);

  // From the network and from ranks; waits while the daemon is stopped.
  void Hear(const ConnPtr& conn, Down message);
  void ConnEnded(const ConnPtr& conn, const absl::Status& why);
  void Hear(const RankProcess& rank, RankFrame frame, Nanos at);
  void Exited(RankProcess* rank, Nanos at);
  std::vector<ConnPtr> Conns() const;
  void Break(bool samples);

  // For the daemon. Missing: the process could not be started.
  int Start(const StartRank& start, Nanos dead_man);
  RankProcess* Find(int pid);
  // Runs then, unless this daemon is gone; later, if it is stopped then.
  template <typename Act>
  void Later(Nanos at, Act act) {
    timeline_.At(at, [this, life = life_, act = std::move(act)]() mutable {
      if (life_ == life) Settle(std::move(act));
    });
  }

  const std::map<int, std::unique_ptr<RankProcess>>& ranks() const { return ranks_; }
  const SimClock& clock() const { return clock_; }
  const v1::NodeInfo& info() const { return info_; }
  uint32_t index() const { return index_; }
  uint64_t life() const { return life_; }
  bool stopped() const { return stopped_; }
  bool up() const { return daemon_ != nullptr; }
  const SimDaemon* daemon() const { return daemon_.get(); }
  Streams& streams() { return streams_; }
  const std::set<uint32_t>& sick() const { return sick_; }

 private:
  void MakeInfo();
  void EndDaemon();
  // What happens to the daemon: not if it is gone, and not yet while it is stopped. A template, as
  // hardly any is kept: made a std::function of, each would cost an allocation.
  template <typename Act>
  void Settle(Act act) {
    if (!up()) return;
    if (stopped_) {
      held_.emplace_back(std::move(act));
    } else {
      act();
    }
  }

  World& world_;
  Timeline& timeline_;
  const uint32_t index_;
  SimClock clock_;
  v1::NodeInfo info_;
  uint64_t boots_ = 0;
  uint64_t life_ = 0;  // of the daemon; changes when one starts or ends
  bool stopped_ = false;
  bool off_ = false;
  Streams streams_;
  std::set<uint32_t> sick_;
  std::map<int, std::unique_ptr<RankProcess>> ranks_;
  std::unique_ptr<SimDaemon> daemon_;
  std::vector<std::function<void()>> held_;  // while the daemon is stopped
};

}  // namespace rackmark::sim
