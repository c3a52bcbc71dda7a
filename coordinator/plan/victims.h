// The parts of preemption: who may be a victim, and which of them for one island. Used by
// preempt.cc alone. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/plan/choose.h"

namespace rackmark::plan {

// Lease slots, in the order in which they would rather be ended: lower priority, younger, later id.
struct Candidates {
  std::vector<uint32_t> slots;
  std::vector<std::optional<uint32_t>> rank;  // by slot: its place among `slots`

  void Keep(size_t n);  // the first n
};

Candidates CandidatesBelow(const Fleet& fleet, int32_t priority);

// The best set for a single node or domain, as ranks, ascending; empty if none has one. `pool` is
// as of now but for the leases that are yielding, which are taken for ended.
std::vector<uint32_t> VictimsInOneIsland(const Fleet& fleet, const Pool& pool,
                                         const GangRequest& request, const Candidates& candidates);

// Fewer, then younger: the oldest of them started later.
bool Better(const Fleet& fleet, const Candidates& candidates, const std::vector<uint32_t>& a,
            const std::vector<uint32_t>& b);

}  // namespace rackmark::plan
