// Jobs, suites and schedules as the seed draws them. Pure but for chance.
#pragma once

#include <string>

#include "rackmark/v1/job.pb.h"
#include "rackmark/v1/suite.pb.h"

namespace rackmark::sim {

struct World;

// It fits the whole cluster when that is free and well, and its null runs take seconds.
v1::Job DrawJob(World& world, const std::string& name);
// Two to four parts that wait for each other.
v1::Suite DrawSuite(World& world, const std::string& name);
// Every minute, or every second one; of a small job or suite.
v1::Schedule DrawSchedule(World& world, const std::string& name);

}  // namespace rackmark::sim
