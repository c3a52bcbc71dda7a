// Places gangs: whole or not at all, with reasons in numbers (law 3). Pure: same inventory and
// gang, same answer; ties go to the lower node id. Knows devices and who holds them; has never
// heard of a job, a run or a clock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/ids.h"
#include "coordinator/plan/gang.h"
#include "rackmark/v1/cluster.pb.h"
#include "rackmark/v1/job.pb.h"
#include "rackmark/v1/run.pb.h"

namespace rackmark::plan {

struct Slot {
  uint32_t device = 0;
  v1::DeviceKind kind = v1::DEVICE_KIND_UNKNOWN;
  bool healthy = true;
  LeaseId holder;  // none = free
};

struct Node {
  NodeId id;
  std::string name;
  Readiness readiness = Readiness::kReady;
  std::vector<Slot> slots;  // by device index
};

// Every known node, ascending by id.
using Inventory = std::vector<Node>;

// Why a gang has no place, counted. `free` are usable devices of the kind, on ready nodes.
struct Shortage {
  uint32_t needed = 0;
  std::optional<uint32_t> per_node;
  v1::DeviceKind kind = v1::DEVICE_KIND_UNKNOWN;
  uint32_t free = 0;
  uint32_t known = 0;  // devices of the kind on all known nodes
  uint32_t nodes = 0;  // known nodes
  uint32_t nodes_silent = 0;
  uint32_t nodes_lost = 0;
  uint32_t nodes_unreported = 0;
  uint32_t unhealthy = 0;            // devices of the kind on ready nodes
  std::map<LeaseId, uint32_t> held;  // devices of the kind on ready nodes, by holder
  uint32_t nodes_with_per_node = 0;  // ready nodes with at least per_node free ones

  bool impossible = false;       // would not fit even if all known devices were free
  bool fits_when_freed = false;  // would fit if the held devices of ready nodes were free
};

// The smallest set of nodes that holds the gang; one node if one suffices; of equals, the node that
// the gang fills best, then the lower id. Ranks go up with node id, then device index.
std::variant<v1::Placement, Shortage> Place(const Inventory& inventory, const v1::Gang& gang);

// Whether the gang fits these nodes if all their devices were free, healthy and in touch.
bool CanEverFit(const Inventory& inventory, const v1::Gang& gang);

}  // namespace rackmark::plan
