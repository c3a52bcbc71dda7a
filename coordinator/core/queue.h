// The queue in front of plan: which job is placed next, and why the others wait. Pure.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/core/state.h"
#include "coordinator/plan/place.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

// Which leases hold which devices, as the log says. Made once for all nodes that are looked at: a
// lease may have ten thousand ranks, and a cluster as many devices.
class Holders {
 public:
  explicit Holders(const State& state);
  LeaseId Of(NodeId node, uint32_t device) const;  // none: the log knows of nobody

 private:
  struct Held {
    NodeId node;
    uint32_t device = 0;
    LeaseId lease;
    auto operator<=>(const Held&) const = default;
  };
  std::vector<Held> held_;  // sorted; of two leases on one device the older one comes first
};

// One node as plan sees it.
plan::Node PlanNode(const State& state, const NodeState& node, const Holders& holders);

// Has runs to do and no lease to do them on.
bool WantsGang(const State& state, const JobState& job);

// The next placement that can be made now. Oldest job first; a younger one goes past only those
// that could not run even if every lease on the nodes in touch ended, so that nobody starves.
std::optional<v1::LeasePlaced> PlaceNext(const State& state);

}  // namespace rackmark
