// What a gang asks of the fleet: which devices may serve, how many, and how far apart. Plain values
// that compare, so that equal requests are recognised. Nobody's thread: no state.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "rackmark/v1/cluster.pb.h"

namespace rackmark::plan {

// Islands, from the smallest to the whole fleet. Each holds whole ones of the level before.
enum class Within { kNode, kDomain, kRack, kCluster };

// Why nothing may be placed on a node as a whole; kReady if something may.
enum class Readiness { kReady, kSilent, kLost, kUnreported };

// Which devices may serve at all.
struct Selector {
  v1::DeviceKind kind = v1::DEVICE_KIND_UNKNOWN;
  std::vector<std::string> models;            // any of these (ModelMatches); empty = every model
  std::map<std::string, std::string> labels;  // the node has all of these
  std::vector<std::string> nodes;             // only these, by name, ascending; empty = all
  std::vector<NodeId> avoid;                  // none of these, ascending
  bool quarantined = false;                   // only nodes in quarantine; else none of those
  auto operator<=>(const Selector&) const = default;
};

struct GangRequest {
  Selector selector;
  uint32_t devices = 0;              // > 0
  std::optional<uint32_t> per_node;  // exactly this many on each node; divides `devices`
  Within within = Within::kCluster;  // no wider than this,
  bool preferred = false;            // ... or wider where nothing of it has room
  bool exclusive = false;            // nobody else in the NVLink domains that it touches
  auto operator<=>(const GangRequest&) const = default;
};

// `wanted` is in the vendor's name as whole words, in any case: "h100" in "NVIDIA H100 80GB HBM3".
bool ModelMatches(std::string_view wanted, std::string_view model);

// Nothing can ever fit a request that is not well formed.
bool WellFormed(const GangRequest& request);

// The widest island that it may take.
Within WidestOf(const GangRequest& request);

}  // namespace rackmark::plan
