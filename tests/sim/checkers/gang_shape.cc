#include "tests/sim/checkers/gang_shape.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/islands.h"

namespace rackmark::sim {
namespace {

struct Lies {
  std::map<std::string, uint32_t> nodes, domains;  // devices on each; domains that have a name
  std::set<std::string> closest, racks;            // domains, or nodes that are in none
  uint32_t lone = 0;                               // devices of nodes that are in no domain
};

std::string Look(const v1::Gang& gang, const v1::Placement& placement, const HardState& hard,
                 Lies& lies) {
  std::set<std::pair<uint64_t, uint32_t>> devices;
  for (int i = 0; i < placement.ranks_size(); ++i) {
    const v1::RankPlace& place = placement.ranks(i);
    if (place.rank() != static_cast<uint32_t>(i)) return "its ranks are not 0, 1, 2, ...";
    if (!devices.emplace(place.node_id(), place.device()).second) return "has a device twice";
    const auto found = hard.nodes.find(NodeId{place.node_id()});
    if (found == hard.nodes.end()) return absl::StrCat("node ", place.node_id(), " is not known");
    const v1::NodeInfo& node = found->second.info;
    const std::string wrong = WhyNotServes(gang, node, place.device());
    if (!wrong.empty()) return wrong;
    ++lies.nodes[node.name()];
    lies.closest.insert(DomainKey(node));
    lies.racks.insert(RackKey(node));
    const std::string domain = DomainName(node);
    ++(domain.empty() ? lies.lone : lies.domains[domain]);
  }
  return "";
}

std::string WhyTooWide(const v1::Gang& gang, const Lies& lies) {
  if (gang.preferred()) return "";
  switch (gang.within()) {
    case v1::WITHIN_NODE: return lies.nodes.size() > 1 ? "leaves its node" : "";
    case v1::WITHIN_NVLINK_DOMAIN: return lies.closest.size() > 1 ? "leaves its NVLink domain" : "";
    case v1::WITHIN_RACK: return lies.racks.size() > 1 ? "leaves its rack" : "";
    default: return "";
  }
}

}  // namespace

std::string WhyMisplaced(const v1::Gang& gang, const v1::Placement& placement,
                         const HardState& hard) {
  if (placement.ranks_size() != static_cast<int>(gang.devices())) {
    return absl::StrCat("has ", placement.ranks_size(), " of ", gang.devices(), " devices");
  }
  Lies lies;
  std::string wrong = Look(gang, placement, hard, lies);
  if (wrong.empty()) wrong = WhyTooWide(gang, lies);
  if (!wrong.empty()) return wrong;
  for (const auto& [node, count] : lies.nodes) {
    if (gang.has_per_node() && count != gang.per_node()) {
      return absl::StrCat("has ", count, " devices on one node, not ", gang.per_node());
    }
  }
  if (lies.lone > 0 && !lies.domains.empty()) {
    return "is on nodes of NVLink domains and on nodes that are in none";
  }
  for (const auto& [domain, count] : lies.domains) {
    const uint32_t other = lies.domains.begin()->second;
    if (count == other) continue;
    return absl::StrCat("has unequal shares, ", other, " and ", count, ", of its NVLink domains");
  }
  return "";
}

}  // namespace rackmark::sim
