// Whether a gang lies as its job asks, by what its nodes say of themselves. Pure.
#pragma once

#include <string>

#include "coordinator/core/state.h"

namespace rackmark::sim {

// Empty: as asked.
std::string WhyMisplaced(const v1::Gang& gang, const v1::Placement& placement,
                         const HardState& hard);

}  // namespace rackmark::sim
