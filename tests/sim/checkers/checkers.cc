#include "tests/sim/checkers/checkers.h"

#include "tests/sim/world.h"

namespace rackmark::sim {

void Checker::Fail(const std::string& what) const {
  if (world_.violation) return;  // the first one is the one to look at
  world_.violation = {std::string(name()), world_.now(), what};
}

std::vector<std::unique_ptr<Checker>> MakeCheckers(World* world) {
  std::vector<std::unique_ptr<Checker>> checkers;
  checkers.push_back(MakeDeviceChecker(world));
  checkers.push_back(MakeGangChecker(world));
  checkers.push_back(MakeCommitChecker(world));
  checkers.push_back(MakeLossChecker(world));
  checkers.push_back(MakeFenceChecker(world));
  checkers.push_back(MakeAttemptChecker(world));
  checkers.push_back(MakeBoundsChecker(world));
  checkers.push_back(MakeScheduleChecker(world));
  checkers.push_back(MakeEndChecker(world));
  return checkers;
}

}  // namespace rackmark::sim
