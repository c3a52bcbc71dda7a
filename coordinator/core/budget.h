// What a job may use up: time with devices, and the same times nodes. Its leases that have ended
// are in the log; those that live count by this process's clock. Pure.
#pragma once

#include <optional>

#include "coordinator/core/state.h"

namespace rackmark {

// The failure that ends the job, with the figures; missing while there is something left.
std::optional<v1::Failure> OverBudget(const State& state, const JobState& job, Nanos now);

// When it is used up if the leases that it has go on; missing if it has no budget, or no lease.
std::optional<Nanos> BudgetEnd(const State& state, const JobState& job);

// For how long it could hold a gang on so many nodes, by what its ended leases have left; missing =
// it has no budget.
std::optional<Nanos> BudgetLeft(const JobState& job, uint32_t nodes);

}  // namespace rackmark
