// The command line of `sim`, and the one that shows a simulation again: what is written there is
// read here. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/simulation.h"

namespace rackmark::sim {

struct Args {
  uint64_t first = 1, last = 1;  // seeds
  bool trace = false;
  Plant plant = Plant::kNone;
  std::vector<std::pair<std::string, std::string>> knobs;  // name and value, as they were given
};

extern const char* const kUsage;

// INVALID_ARGUMENT: which word is wrong, and what it must be.
absl::StatusOr<Args> ReadArgs(const std::vector<std::string>& words);
// What the seed draws, and over it what the command says.
absl::StatusOr<Knobs> KnobsOf(const Args& args, uint64_t seed);

// The words after the program's name that make these knobs: the seed, and whatever it does not
// draw.
std::string ReplayArgs(const Knobs& knobs);
// Whether they do.
bool Replays(const Knobs& knobs);
// What broke which law when, and, in the last line, the command that shows it again.
std::string Complaint(const std::string& program, const Knobs& knobs, const Violation& violation);

}  // namespace rackmark::sim
