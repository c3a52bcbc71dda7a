// What a checker may see of a simulation, and how it says that a law was broken. Each checker is
// one file in checkers/, keeps its own books, and has a planted bug that it must catch (sim_test).
// One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/command.h"
#include "coordinator/core/state.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark::sim {

struct World;
class RankProcess;
class Machine;

// A SyncReply that left the coordinator, after whatever it rests on should be on disk.
struct Told {
  const v1::SyncReply& reply;
  uint64_t epoch;  // the one in which it was truly made
};
// A worker took a desired state for its own.
struct Obeyed {
  const Machine& machine;
  uint64_t life;   // of its daemon
  uint64_t epoch;  // in which that was truly made
};
struct Reported {
  const Machine& machine;
  const v1::Report& report;
  size_t unanswered;  // of this stream, this one too
  bool regular;       // of time, not of a change
};

class Checker {
 public:
  explicit Checker(World* world) : world_(*world) {}
  virtual ~Checker() = default;
  virtual std::string_view name() const = 0;

  // An event has reached the disk; `before` is what the log before it makes.
  virtual void Committed(const v1::Event&, const HardState&) {}
  virtual void OnTold(const Told&) {}
  virtual void Replied(const Command&, const Reply&) {}  // to whom a command came from
  virtual void AskedToJudge(RunId) {}
  virtual void Acked(const v1::SampleAck&) {}
  virtual void OnObeyed(const Obeyed&) {}
  virtual void OnReported(const Reported&) {}
  virtual void RankStarted(const RankProcess&) {}
  virtual void RankPrepared(const RankProcess&) {}
  virtual void RankMeasures(const RankProcess&) {}
  // A coordinator has loaded what is on disk and leads.
  virtual void Recovered(const State&) {}
  virtual void EverySecond() {}
  virtual void Ended() {}

 protected:
  void Fail(const std::string& what) const;
  World& world_;
};

// All of checkers/, in the order in which they look.
std::vector<std::unique_ptr<Checker>> MakeCheckers(World* world);

}  // namespace rackmark::sim
