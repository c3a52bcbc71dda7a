// One maker for each checker of this folder. One thread.
#pragma once

#include <memory>

#include "tests/sim/checker.h"

namespace rackmark::sim {

std::unique_ptr<Checker> MakeDeviceChecker(World* world);
std::unique_ptr<Checker> MakeGangChecker(World* world);
std::unique_ptr<Checker> MakeCommitChecker(World* world);
std::unique_ptr<Checker> MakeLossChecker(World* world);
std::unique_ptr<Checker> MakeFenceChecker(World* world);
std::unique_ptr<Checker> MakeAttemptChecker(World* world);
std::unique_ptr<Checker> MakeBoundsChecker(World* world);
std::unique_ptr<Checker> MakeScheduleChecker(World* world);
std::unique_ptr<Checker> MakeEndChecker(World* world);

}  // namespace rackmark::sim
