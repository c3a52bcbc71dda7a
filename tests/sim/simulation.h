// One simulation from its knobs to its result: a phase with faults, then everything heals and must
// come to its end within a bound of virtual time, while the checkers look on. Deterministic: the
// same knobs give the same trace, line by line. One thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/world.h"

namespace rackmark::sim {

struct Result {
  std::optional<Violation> violation;
  Stats stats;
  uint64_t trace_hash = 0;
  uint64_t trace_lines = 0;
  uint64_t steps = 0;
  Nanos took = 0;  // virtual
};

// Each line of the trace goes to `trace`, and each event of the log to `tape`, if they are not
// null.
Result Simulate(const Knobs& knobs, std::FILE* trace = nullptr,
                std::vector<v1::Event>* tape = nullptr);

// Adds up what several simulations did.
void Add(const Stats& one, Stats& sum);

}  // namespace rackmark::sim
