// Events and State as text: one line per event for scenario traces; all of HardState for comparing
// what a replay has rebuilt.
#pragma once

#include <string>

#include "coordinator/core/state.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

std::string DescribeEvent(const v1::Event& event);
std::string DescribeDesired(const v1::DesiredState& desired);
std::string DescribeHard(const HardState& hard);

}  // namespace rackmark
