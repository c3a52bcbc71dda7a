// One simulation's whole world: time, chance, the network, the machines, the disk that coordinators
// share, and who looks on. Everything in it points here; Simulation owns it. One thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/random.h"
#include "tests/sim/checker.h"
#include "tests/sim/disk.h"
#include "tests/sim/knobs.h"
#include "tests/sim/network.h"
#include "tests/sim/rank.h"
#include "tests/sim/timeline.h"
#include "tests/sim/trace.h"

namespace rackmark::sim {

class Machine;
class SimCoordinator;
class SimClient;

struct Violation {
  std::string checker;
  Nanos at = 0;
  std::string what;
};

struct Stats {
  uint64_t messages = 0;  // over the network: Reports, replies, samples, acks, requests, answers
  uint64_t frames = 0;    // between daemons and ranks
  uint64_t events = 0;    // in the log
  uint64_t commands = 0;
  uint64_t writes = 0;  // to the disk, failed ones too
  // How often each thing happened, so that a test can see that nothing was left out.
  std::map<std::string, uint64_t> happened;
};

struct World {
  World(const Knobs& all_knobs, std::FILE* trace_out);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  const Knobs knobs;
  std::vector<v1::Event>* tape = nullptr;  // of all events that reach the disk, if wanted
  Timeline timeline;
  Trace trace;
  Random random;
  Stats stats;
  int last_pid = 100;
  bool healed = false;  // nothing goes wrong any more
  HardState durable;    // what the log on disk makes
  std::optional<Violation> violation;

  Network network{this};
  Gangs gangs{this};
  Disk disk{this};
  std::vector<std::unique_ptr<SimCoordinator>> coordinators;
  std::vector<std::unique_ptr<Machine>> machines;
  std::unique_ptr<SimClient> client;
  std::vector<std::unique_ptr<Checker>> checkers;

  Nanos now() const { return timeline.now(); }
  bool Chance(double share) { return share > 0 && random.Uniform() < share; }
  Nanos Between(Nanos min, Nanos max) {
    return static_cast<Nanos>(
        random.Between(static_cast<uint64_t>(min), static_cast<uint64_t>(max)));
  }
  void Count(const char* what) { ++stats.happened[what]; }
  template <typename Look>
  void Tell(Look look) {
    for (const auto& checker : checkers) look(*checker);
  }
};

}  // namespace rackmark::sim
