// Why a waiting gang has no place, in numbers and in sentences for people. Pure reads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/core/state.h"
#include "coordinator/plan/refusals.h"

namespace rackmark {

struct Shortage {
  plan::GangRequest request;                       // with the nodes that it avoids just now
  std::shared_ptr<const plan::Refusals> refusals;  // never null
  uint32_t known = 0;                              // devices of its kind, on all known nodes
  uint32_t free = 0;                               // of these usable for it, and held by nobody
  uint32_t nodes = 0;                              // known ones
  uint32_t nodes_with_per_node = 0;                // that have per_node free at once
  bool fits = false;                               // there is room: it waits for its turn
};
Shortage ShortageOf(const State& state, const JobState& job);

// What the gang asks for: "2 GPU devices, 1 on each node, within one rack".
std::string NeedText(const v1::Gang& gang);

// Of a gang that the known nodes could never hold: what they have, and the first of its wishes
// without which they could. "they have 8 in all, but no node has so many"
std::string ImpossibleText(const State& state, const v1::Gang& gang, uint32_t known);

// Said of devices that a reason takes out of the choice.
std::string RefusalText(const State& state, const plan::Refusal& refusal, const JobState& job);

// Each with a count; empty if nothing but its turn is missing.
std::vector<std::string> ShortageSentences(const State& state, const JobState& job,
                                           const Shortage& shortage);

}  // namespace rackmark
