// When and where a gang that finds no place now will have one, if every lease ends by its budget
// and nothing else changes. Pure; time is an argument.
#pragma once

#include <optional>

#include "coordinator/plan/choose.h"

namespace rackmark::plan {

struct Reservation {
  std::optional<Nanos> at;  // not before now; missing = it needs leases whose end nobody knows
  GangPlace place;
};

// nullopt: not even when all leases have ended.
// REQUIRES: there is no place now.
std::optional<Reservation> Reserve(const Fleet& fleet, const GangRequest& request, Nanos now);

}  // namespace rackmark::plan
