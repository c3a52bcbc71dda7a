#include "coordinator/core/queue.h"

#include <algorithm>
#include <variant>

#include "coordinator/core/observe.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/view.h"

namespace rackmark {
namespace {

constexpr size_t kHoldersMax = 8;  // named; a cluster may have as many leases as devices

plan::Readiness ReadinessOf(const State& state, const NodeState& node) {
  if (node.phase == v1::NODE_PHASE_LOST) return plan::Readiness::kLost;
  if (node.phase == v1::NODE_PHASE_SUSPECT) return plan::Readiness::kSilent;
  return ReportOf(state, node.id) == nullptr ? plan::Readiness::kUnreported
                                             : plan::Readiness::kReady;
}

std::string Devices(uint32_t count, v1::DeviceKind kind) {
  const char* word = kind == v1::DEVICE_KIND_GPU ? "GPU" : "CPU";
  return absl::StrCat(count, " ", word, count == 1 ? " device" : " devices");
}

std::string HolderText(const State& state, LeaseId holder) {
  const auto lease = state.hard.leases.find(holder);
  if (lease == state.hard.leases.end()) return "processes of an ended lease";
  return absl::StrCat("job ", DisplayJob(state.hard.cluster_id, lease->second.job));
}

std::vector<std::string> Sentences(const State& state, const plan::Shortage& shortage) {
  std::vector<std::string> reasons;
  std::string need = absl::StrCat("needs ", Devices(shortage.needed, shortage.kind));
  if (shortage.per_node.has_value()) absl::StrAppend(&need, ", ", *shortage.per_node, " per node");
  reasons.push_back(absl::StrCat(need, "; ", shortage.free, " of ", shortage.known, " known ",
                                 shortage.known == 1 ? "is" : "are", " free"));
  if (shortage.impossible) {
    reasons.push_back(
        absl::StrCat("does not fit the known nodes (", shortage.nodes, ") even when all is free"));
  }
  if (shortage.per_node.has_value()) {
    reasons.push_back(absl::StrCat(shortage.nodes_with_per_node, " of ",
                                   shortage.needed / std::max(1u, *shortage.per_node),
                                   " nodes have ", *shortage.per_node, " free at once"));
  }
  size_t holders = 0;
  uint32_t others = 0;
  for (const auto& [holder, count] : shortage.held) {
    if (++holders > kHoldersMax) {
      others += count;
      continue;
    }
    reasons.push_back(
        absl::StrCat(Devices(count, shortage.kind), " busy with ", HolderText(state, holder)));
  }
  if (others > 0) {
    reasons.push_back(absl::StrCat(Devices(others, shortage.kind), " busy with ",
                                   holders - kHoldersMax, " more"));
  }
  if (shortage.unhealthy > 0) {
    reasons.push_back(absl::StrCat(Devices(shortage.unhealthy, shortage.kind), " unhealthy"));
  }
  const auto nodes = [&](uint32_t count, std::string_view what) {
    if (count == 0) return;
    reasons.push_back(absl::StrCat(count, " of ", shortage.nodes, " nodes ",
                                   count == 1 ? "is " : "are ", ToAbsl(what)));
  };
  nodes(shortage.nodes_lost, "LOST");
  nodes(shortage.nodes_silent, "SUSPECT");
  nodes(shortage.nodes_unreported, "not heard of since the coordinator started");
  return reasons;
}

}  // namespace

Holders::Holders(const State& state) {
  for (const auto& [id, lease] : state.hard.leases) {
    std::optional<NodeId> node;  // that of the rank before: mostly this one's too
    bool freed = false;
    for (const v1::RankPlace& place : lease.placement.ranks()) {
      if (node != NodeId{place.node_id()}) {
        node = NodeId{place.node_id()};
        freed = HasFreed(state, lease, *node, state.soft.now);
      }
      if (!freed) held_.push_back({*node, place.device(), id});
    }
  }
  std::sort(held_.begin(), held_.end());
}

LeaseId Holders::Of(NodeId node, uint32_t device) const {
  const auto at = std::lower_bound(held_.begin(), held_.end(), Held{node, device, LeaseId{}});
  return at != held_.end() && at->node == node && at->device == device ? at->lease : LeaseId{};
}

plan::Node PlanNode(const State& state, const NodeState& node, const Holders& holders) {
  plan::Node planned{node.id, node.info.name(), ReadinessOf(state, node), {}};
  const v1::Report* report = ReportOf(state, node.id);
  for (const v1::Device& device : node.info.devices()) {
    const v1::DeviceReport* said = nullptr;
    if (report != nullptr) {
      for (const v1::DeviceReport& candidate : report->devices()) {
        if (candidate.index() == device.index()) said = &candidate;
      }
    }
    plan::Slot slot;
    slot.device = device.index();
    slot.kind = device.kind();
    slot.healthy = said != nullptr && said->healthy();
    // Held by the lease that the log names, or else by whatever the node itself reports.
    slot.holder = holders.Of(node.id, device.index());
    if (slot.holder.IsNone() && said != nullptr) slot.holder = LeaseId{said->lease_id()};
    planned.slots.push_back(slot);
  }
  return planned;
}

plan::Inventory InventoryOf(const State& state) {
  plan::Inventory inventory;
  const Holders holders(state);
  for (const auto& [id, node] : state.hard.nodes) {
    inventory.push_back(PlanNode(state, node, holders));
  }
  return inventory;
}

bool WantsGang(const State& state, const JobState& job) {
  if (job.lease.has_value() || job.cancel_requested) return false;
  if (SetupExhausted(state, job)) return false;
  for (RunId run : RunsOf(job)) {
    if (state.hard.runs.at(run).phase == v1::RUN_PHASE_QUEUED) return true;
  }
  return false;
}

std::optional<v1::LeasePlaced> PlaceNext(const State& state) {
  std::optional<plan::Inventory> inventory;
  for (const auto& [id, job] : state.hard.jobs) {
    if (!WantsGang(state, job)) continue;
    if (!inventory.has_value()) inventory = InventoryOf(state);
    auto answer = plan::Place(*inventory, job.job.spec().gang());
    if (const auto* shortage = std::get_if<plan::Shortage>(&answer)) {
      if (shortage->fits_when_freed) return std::nullopt;
      continue;
    }
    v1::LeasePlaced placed;
    placed.set_lease_id(state.hard.last_lease + 1);
    placed.set_job_id(id.value);
    placed.set_generation(job.generations + 1);
    *placed.mutable_placement() = std::move(std::get<v1::Placement>(answer));
    return placed;
  }
  return std::nullopt;
}

std::vector<std::string> WaitingReasons(const State& state, JobId id) {
  const JobState& job = state.hard.jobs.at(id);
  if (!WantsGang(state, job)) return {};
  const plan::Inventory inventory = InventoryOf(state);
  auto answer = plan::Place(inventory, job.job.spec().gang());
  if (const auto* shortage = std::get_if<plan::Shortage>(&answer)) {
    return Sentences(state, *shortage);
  }
  for (const auto& [other, older] : state.hard.jobs) {
    if (other == id) break;
    if (!WantsGang(state, older)) continue;
    const auto blocked = plan::Place(inventory, older.job.spec().gang());
    const auto* shortage = std::get_if<plan::Shortage>(&blocked);
    if (shortage == nullptr || shortage->fits_when_freed) {
      return {absl::StrCat("waits behind job ", DisplayJob(state.hard.cluster_id, other))};
    }
  }
  return {"is about to be placed"};
}

}  // namespace rackmark
