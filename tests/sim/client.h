// The people and the scripts in front of the cluster: they submit jobs, cancel some of them, and do
// to nodes what operators do. Asks again, under the same submission id, when no answer came; an
// answer may be lost on its way. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "coordinator/turns.h"
#include "rackmark/v1/client_api.pb.h"
#include "rackmark/v1/suite.pb.h"

namespace rackmark::sim {

struct World;

class SimClient {
 public:
  explicit SimClient(World* world) : world_(*world) {}

  // Spreads what the knobs say over the time of faults.
  void Begin();
  // The faults are over: undoes what keeps jobs waiting for a person.
  void Heal();
  size_t pending() const { return pending_; }

 private:
  struct Request {
    Command command;
    std::function<void(const Outcome&)> then;
    bool done = false;
    uint32_t coordinator = 0;
  };
  void Do(Command command, std::function<void(const Outcome&)> then);
  void Ask(const std::shared_ptr<Request>& request);
  void SubmitOne(uint32_t number);
  void SubmitOneSuite(uint32_t number);
  void SetOne(uint32_t number);
  void Operate();
  void Change(const std::string& node, v1::NodeChange change);
  void ReadmitAll();

  World& world_;
  std::vector<v1::Schedule> schedules_;
  size_t pending_ = 0;
};

}  // namespace rackmark::sim
