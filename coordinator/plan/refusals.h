// Why a gang has no place: every known device, counted by the first constraint that takes it out of
// the choice. What is left is what the gang would be placed on: nothing if it does not fit. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "coordinator/plan/choose.h"

namespace rackmark::plan {

// In the order in which they are applied.
enum class Reason {
  kKind,         // the device is of another kind,
  kModel,        // ... or of another model
  kLabel,        // its node has not all the labels,
  kNotNamed,     // ... is not one of those that are asked for,
  kAvoided,      // ... is one of those that are not wanted,
  kLost,         // ... is lost,
  kSilent,       // ... has not been heard of for a while,
  kUnreported,   // ... or not at all since the coordinator started,
  kCordoned,     // ... was taken out by a person,
  kQuarantined,  // ... or by its own offences,
  kInUse,        // ... or is not in quarantine, as is asked for
  kUnhealthy,
  kHeld,        // by a lease: one entry for each
  kExclusive,   // free, in an NVLink domain that a lease has for itself: one entry for each
  kDomainBusy,  // free, in a domain that the gang wants for itself and somebody is in
  kPerNode,     // its node has fewer than per_node that all others left
  kIsland,      // its widest island has too few that all others left,
  kShares,      // ... or enough, but not in equal shares of its domains, nor on lone nodes
};

struct Refusal {
  Reason reason = Reason::kKind;
  LeaseId holder;  // of kHeld and kExclusive
  uint32_t devices = 0;
  std::vector<NodeId> nodes;  // where they are, ascending
};

struct Refusals {
  uint32_t total = 0;            // known devices
  std::vector<Refusal> refused;  // by reason, then holder; none with 0 devices
  uint32_t left = 0;             // total - the sum of them; 0 exactly if there is no place

  bool impossible = false;       // would not fit the known nodes even if all were well and free
  bool fits_when_freed = false;  // would fit if all leases ended
};

Refusals Explain(const Fleet& fleet, const GangRequest& request);
// The same, remembered by the fleet: a list asks it of many that want the same.
std::shared_ptr<const Refusals> Explained(const Fleet& fleet, const GangRequest& request);

}  // namespace rackmark::plan
