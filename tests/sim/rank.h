// Rank processes, and the collectives in which those of one gang wait for each other. A rank does
// what its daemon's frames say, tells it how far it is, fails as the knobs say, and ends itself
// when its pipe ends or nobody has spoken to it for too long. It may outlive its daemon. One
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "common/time.h"
#include "rackmark/v1/worker_api.pb.h"
#include "worker/daemon/local_state.h"
#include "worker/daemon/reconcile.h"

namespace rackmark::sim {

struct World;
class Machine;
class RankProcess;

// From a rank to its daemon. What is `sealed` comes with the status before it.
struct RankFrame {
  v1::RankPhase phase = v1::RANK_PHASE_UNKNOWN;  // UNKNOWN: of samples alone
  RunKey run;
  std::optional<v1::Failure> failure;
  bool samples = false, samples_end = false;
};

// The ranks of one lease that have connected to each other.
struct Gang {
  uint32_t world_size = 0;
  std::map<uint32_t, RankProcess*> members;
  bool broken = false;  // a member has gone: no collective of it ends any more
  std::map<RunKey, std::set<uint32_t>> prepared;
  std::map<RunKey, std::set<uint32_t>> entered;
};

class Gangs {
 public:
  explicit Gangs(World* world) : world_(*world) {}
  Gang& Of(const RankProcess& rank);
  void Connect(RankProcess* rank);
  void Enter(RankProcess* rank);
  // The others find out, each in its own time.
  void Leave(RankProcess* rank);

 private:
  World& world_;
  std::map<std::pair<uint64_t, uint32_t>, Gang> gangs_;  // by lease and generation
};

class RankProcess {
 public:
  RankProcess(World* world, Machine* machine, const StartRank& start, Nanos dead_man);
  ~RankProcess() { *exists_ = false; }
  RankProcess(const RankProcess&) = delete;
  RankProcess& operator=(const RankProcess&) = delete;

  // Frames of the daemon.
  void OnConnect();
  void OnRun(const v1::DesiredRun& run);
  void OnStop();
  void OnKeepAlive() { last_frame_ = Clock(); }
  // The daemon is gone.
  void PipeEnded();
  // By the gang.
  void Meet();
  void Begin(Nanos jitter);
  void PeerIsGone();
  // Faults. Kill: SIGKILL, by anybody; takes a moment.
  void Kill();
  void Vanish();  // the machine is gone
  void Stop();
  void Continue();
  void Hang() { hung_ = true; }

  int pid = 0;
  uint64_t daemon_life = 0;  // whose pipe it holds
  const RankRef ref;
  const uint32_t generation, world_size, device;
  Machine& machine;

  v1::RankPhase phase() const { return phase_; }
  const RunKey& run() const { return run_; }
  bool alive() const { return alive_; }
  bool stopped() const { return stopped_; }
  bool dying() const { return dying_; }
  Nanos last_frame() const { return last_frame_; }  // by its machine's clock
  Nanos dead_man() const { return dead_man_; }
  // Says that it lives once a second, unless it is stopped.
  bool speaks() const { return alive_ && !stopped_; }

 private:
  Nanos Clock() const;
  template <typename Act>
  void Later(Nanos min, Nanos max, Act act);
  void Say(v1::RankPhase phase, std::optional<v1::Failure> failure = std::nullopt);
  void Send(RankFrame frame);
  void Advance();
  void Measure();
  void Finish(RunKey run);
  void FailBy(v1::FailureKind kind);
  void WatchDaemon();
  void Die();

  World& world_;
  const std::shared_ptr<bool> exists_ = std::make_shared<bool>(true);
  const Nanos dead_man_;
  v1::RankPhase phase_ = v1::RANK_PHASE_STARTING;
  RunKey run_;
  v1::RunGoal goal_ = v1::RUN_GOAL_UNKNOWN;
  Nanos duration_ = 0;
  bool alive_ = true, stopped_ = false, hung_ = false, dying_ = false, pipe_ended_ = false;
  Nanos last_frame_ = 0;                     // by its machine's clock
  Nanos said_at_ = 0;                        // the pipe keeps order
  std::vector<std::function<void()>> held_;  // while it is stopped
};

}  // namespace rackmark::sim
