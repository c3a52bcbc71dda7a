#include "coordinator/plan/place.h"

#include <algorithm>

namespace rackmark::plan {
namespace {

struct Candidate {
  const Node* node = nullptr;
  std::vector<uint32_t> free;  // device indices, ascending
};

uint32_t Count(size_t n) { return static_cast<uint32_t>(n); }

std::vector<uint32_t> FreeDevices(const Node& node, v1::DeviceKind kind) {
  std::vector<uint32_t> free;
  for (const Slot& slot : node.slots) {
    if (slot.kind == kind && slot.healthy && slot.holder.IsNone()) free.push_back(slot.device);
  }
  std::sort(free.begin(), free.end());
  return free;
}

std::vector<Candidate> Candidates(const Inventory& inventory, v1::DeviceKind kind) {
  std::vector<Candidate> candidates;
  for (const Node& node : inventory) {
    if (node.readiness != Readiness::kReady) continue;
    Candidate candidate{&node, FreeDevices(node, kind)};
    if (!candidate.free.empty()) candidates.push_back(std::move(candidate));
  }
  return candidates;
}

// Fewest free devices first; stable, so that equal nodes stay in order of id.
void SortByFree(std::vector<Candidate>& candidates) {
  std::stable_sort(
      candidates.begin(), candidates.end(),
      [](const Candidate& a, const Candidate& b) { return a.free.size() < b.free.size(); });
}

// per_node devices on each of devices / per_node nodes: the fullest nodes that can hold that many.
std::vector<Candidate> ChooseEven(std::vector<Candidate> candidates, uint32_t devices,
                                  uint32_t per_node) {
  std::vector<Candidate> chosen;
  if (per_node == 0 || devices % per_node != 0) return chosen;
  SortByFree(candidates);
  for (Candidate& candidate : candidates) {
    if (chosen.size() == devices / per_node) break;
    if (candidate.free.size() < per_node) continue;
    candidate.free.resize(per_node);
    chosen.push_back(std::move(candidate));
  }
  if (chosen.size() < devices / per_node) chosen.clear();
  return chosen;
}

// Takes the emptiest nodes whole until one node can hold the rest, and for the rest the fullest
// node that can: this uses the fewest nodes, because no set of so few nodes has more free devices.
std::vector<Candidate> ChooseFewest(std::vector<Candidate> candidates, uint32_t devices) {
  std::vector<Candidate> chosen;
  SortByFree(candidates);
  uint32_t rest = devices;
  while (rest > 0) {
    if (candidates.empty()) return {};
    auto fits = std::find_if(candidates.begin(), candidates.end(),
                             [&](const Candidate& c) { return c.free.size() >= rest; });
    if (fits == candidates.end()) {
      const size_t most = candidates.back().free.size();
      fits = std::find_if(candidates.begin(), candidates.end(),
                          [&](const Candidate& c) { return c.free.size() == most; });
    }
    Candidate taken = std::move(*fits);
    candidates.erase(fits);
    if (taken.free.size() > rest) taken.free.resize(rest);
    rest -= Count(taken.free.size());
    chosen.push_back(std::move(taken));
  }
  return chosen;
}

v1::Placement ToPlacement(std::vector<Candidate> chosen) {
  std::sort(chosen.begin(), chosen.end(),
            [](const Candidate& a, const Candidate& b) { return a.node->id < b.node->id; });
  v1::Placement placement;
  for (const Candidate& candidate : chosen) {
    for (uint32_t device : candidate.free) {
      const uint32_t rank = Count(static_cast<size_t>(placement.ranks_size()));
      v1::RankPlace* place = placement.add_ranks();
      place->set_rank(rank);
      place->set_node_id(candidate.node->id.value);
      place->set_node(candidate.node->name);
      place->set_device(device);
    }
  }
  return placement;
}

void CountDevices(const Node& node, Shortage& shortage) {
  for (const Slot& slot : node.slots) {
    if (slot.kind != shortage.kind) continue;
    ++shortage.known;
    if (node.readiness != Readiness::kReady) continue;
    if (!slot.healthy) {
      ++shortage.unhealthy;
    } else if (!slot.holder.IsNone()) {
      ++shortage.held[slot.holder];
    } else {
      ++shortage.free;
    }
  }
}

std::vector<Candidate> Choose(const Inventory& inventory, const v1::Gang& gang) {
  std::vector<Candidate> candidates = Candidates(inventory, gang.kind());
  return gang.has_per_node() ? ChooseEven(std::move(candidates), gang.devices(), gang.per_node())
                             : ChooseFewest(std::move(candidates), gang.devices());
}

Shortage Explain(const Inventory& inventory, const v1::Gang& gang) {
  Shortage shortage;
  shortage.needed = gang.devices();
  if (gang.has_per_node()) shortage.per_node = gang.per_node();
  shortage.kind = gang.kind();
  shortage.nodes = Count(inventory.size());
  for (const Node& node : inventory) {
    shortage.nodes_silent += node.readiness == Readiness::kSilent ? 1 : 0;
    shortage.nodes_lost += node.readiness == Readiness::kLost ? 1 : 0;
    shortage.nodes_unreported += node.readiness == Readiness::kUnreported ? 1 : 0;
    CountDevices(node, shortage);
    if (gang.has_per_node() && node.readiness == Readiness::kReady &&
        FreeDevices(node, gang.kind()).size() >= gang.per_node()) {
      ++shortage.nodes_with_per_node;
    }
  }
  shortage.impossible = !CanEverFit(inventory, gang);
  Inventory freed = inventory;
  for (Node& node : freed) {
    for (Slot& slot : node.slots) slot.holder = LeaseId{};
  }
  shortage.fits_when_freed = !Choose(freed, gang).empty();
  return shortage;
}

}  // namespace

std::variant<v1::Placement, Shortage> Place(const Inventory& inventory, const v1::Gang& gang) {
  std::vector<Candidate> chosen = Choose(inventory, gang);
  if (chosen.empty()) return Explain(inventory, gang);
  return ToPlacement(std::move(chosen));
}

bool CanEverFit(const Inventory& inventory, const v1::Gang& gang) {
  Inventory ideal = inventory;
  for (Node& node : ideal) {
    node.readiness = Readiness::kReady;
    for (Slot& slot : node.slots) {
      slot.healthy = true;
      slot.holder = LeaseId{};
    }
  }
  return !Choose(ideal, gang).empty();
}

}  // namespace rackmark::plan
