#include "tests/sim/gangs.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/sim/islands.h"
#include "tests/sim/machine.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

using Nodes = std::vector<const v1::NodeInfo*>;

uint32_t Draw(World& world, uint32_t min, uint32_t max) {
  return static_cast<uint32_t>(world.random.Between(min, max));
}

const v1::NodeInfo& AnyOf(World& world, const Nodes& nodes) {
  return *nodes[world.random.Between(0, nodes.size() - 1)];
}

Nodes AllNodes(const World& world) {
  Nodes nodes;
  for (const auto& machine : world.machines) nodes.push_back(&machine->info());
  return nodes;
}

// What some node has; so there is one that serves.
void DrawSelector(World& world, const Nodes& all, v1::Gang& gang) {
  if (!world.Chance(world.knobs.picky)) return;
  const v1::NodeInfo& liked = AnyOf(world, all);
  const uint32_t kind = Draw(world, 0, 2);
  if (kind == 0 && world.knobs.gpus) {
    const uint32_t model = Draw(world, 0, std::min(world.knobs.models, world.knobs.workers) - 1);
    gang.add_models(absl::StrCat("gpu m", model));
  } else if (kind == 1 && world.knobs.rows > 0) {
    (*gang.mutable_labels())["row"] = liked.labels().at("row");
  } else {
    gang.add_nodes(liked.name());
    for (uint32_t more = Draw(world, 0, 4); more > 0; --more) {
      const std::string& name = AnyOf(world, all).name();
      const auto& nodes = gang.nodes();
      if (std::find(nodes.begin(), nodes.end(), name) == nodes.end()) gang.add_nodes(name);
    }
  }
}

// Equal shares of some domains, largest first: never more than the last of them has. How many.
uint32_t DrawShares(World& world, const std::map<std::string, Nodes>& domains, v1::Gang& gang) {
  const uint32_t devices = world.knobs.devices;
  std::vector<uint32_t> sizes;  // in nodes
  for (const auto& [name, nodes] : domains) sizes.push_back(static_cast<uint32_t>(nodes.size()));
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  const bool many = sizes.size() > 1 && world.Chance(0.4);
  const uint32_t shares =
      many ? Draw(world, 2, static_cast<uint32_t>(std::min<size_t>(sizes.size(), 3))) : 1;
  const uint32_t nodes = sizes[shares - 1];
  if (world.Chance(0.3)) {
    gang.set_devices(shares * nodes * devices);  // whole ones
  } else if (world.Chance(0.3)) {
    gang.set_per_node(Draw(world, 1, devices));
    gang.set_devices(shares * Draw(world, 1, nodes) * gang.per_node());
  } else {
    gang.set_devices(shares * Draw(world, 1, world.Chance(0.5) ? devices : nodes * devices));
  }
  return shares;
}

void DrawLone(World& world, uint32_t nodes, v1::Gang& gang) {
  const uint32_t devices = world.knobs.devices;
  gang.set_devices(Draw(world, 1, std::min(nodes * devices, world.Chance(0.2) ? 64U : 6U)));
  if (!world.Chance(0.3)) return;
  gang.set_per_node(Draw(world, 1, devices));
  gang.set_devices(Draw(world, 1, std::min(nodes, 8U)) * gang.per_node());
}

// Its size, and the smallest level of which some island surely holds it.
v1::Within DrawShape(World& world, const Nodes& serving, v1::Gang& gang) {
  const bool of_rack = world.Chance(0.3);
  const std::string rack = RackKey(AnyOf(world, serving));
  std::map<std::string, Nodes> domains;
  uint32_t lone = 0;
  for (const v1::NodeInfo* node : serving) {
    if (of_rack && RackKey(*node) != rack) continue;
    const std::string domain = DomainName(*node);
    if (domain.empty()) {
      ++lone;
    } else {
      domains[domain].push_back(node);
    }
  }
  const bool named = !domains.empty() && (lone == 0 || world.Chance(0.7));
  const uint32_t shares = named ? DrawShares(world, domains, gang) : 0;
  if (!named) DrawLone(world, lone, gang);
  const bool whole = !gang.has_per_node() || gang.per_node() == gang.devices();
  if (gang.devices() <= world.knobs.devices && whole) return v1::WITHIN_NODE;
  if (shares == 1) return v1::WITHIN_NVLINK_DOMAIN;
  return of_rack ? v1::WITHIN_RACK : v1::WITHIN_CLUSTER;
}

}  // namespace

void DrawGang(World& world, v1::Gang& gang) {
  gang.set_kind(world.knobs.gpus ? v1::DEVICE_KIND_GPU : v1::DEVICE_KIND_CPU);
  const Nodes all = AllNodes(world);
  DrawSelector(world, all, gang);
  Nodes serving;
  for (const v1::NodeInfo* node : all) {
    if (WhyNotServes(gang, *node, 0).empty()) serving.push_back(node);
  }
  const v1::Within holds = DrawShape(world, serving, gang);
  gang.set_exclusive(world.Chance(world.knobs.exclusive));
  if (!world.Chance(0.4)) return;
  gang.set_within(static_cast<v1::Within>(Draw(world, v1::WITHIN_NODE, v1::WITHIN_CLUSTER)));
  // What does not fit an island of that kind waits for ever.
  gang.set_preferred(gang.within() < holds || world.Chance(0.2));
}

}  // namespace rackmark::sim
