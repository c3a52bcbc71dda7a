#include "tests/sim/plants.h"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "tests/sim/islands.h"

namespace rackmark::sim {
namespace {

constexpr int64_t kLongBefore = 24 * 3600 * kSecond;

using Fits = std::function<bool(const v1::NodeInfo&)>;

const v1::NodeInfo& NodeOf(const HardState& durable, const v1::RankPlace& place) {
  return durable.nodes.at(NodeId{place.node_id()}).info;
}

const v1::Gang& GangOf(const HardState& durable, uint64_t job) {
  return durable.jobs.at(JobId{job}).job.spec().gang();
}

// What nobody has.
std::optional<v1::RankPlace> FreePlace(const HardState& durable, const v1::Placement& own,
                                       const Fits& fits) {
  std::set<std::pair<uint64_t, uint32_t>> busy;
  const auto add = [&](const v1::Placement& placement) {
    for (const v1::RankPlace& place : placement.ranks()) {
      busy.emplace(place.node_id(), place.device());
    }
  };
  add(own);
  for (const auto& [id, lease] : durable.leases) add(lease.placement);
  for (const auto& [id, node] : durable.nodes) {
    if (!fits(node.info)) continue;
    for (const v1::Device& device : node.info.devices()) {
      if (busy.count({id.value, device.index()}) != 0) continue;
      v1::RankPlace place;
      place.set_node_id(id.value);
      place.set_node(node.info.name());
      place.set_device(device.index());
      return place;
    }
  }
  return std::nullopt;
}

void MoveLast(const HardState& durable, v1::Placement& placement, const Fits& fits) {
  if (placement.ranks().empty()) return;
  v1::RankPlace& last = *placement.mutable_ranks()->rbegin();
  std::optional<v1::RankPlace> place = FreePlace(durable, placement, fits);
  if (!place) return;
  place->set_rank(last.rank());
  last = *std::move(place);
}

bool Serves(const v1::Gang& gang, const v1::NodeInfo& node) {
  return WhyNotServes(gang, node, 0).empty();
}

// Whether a rank at `node` and another one at `home` break what the gang asks.
bool Leaves(const v1::Gang& gang, const v1::NodeInfo& home, const v1::NodeInfo& node) {
  if (gang.preferred()) return false;
  switch (gang.within()) {
    case v1::WITHIN_NODE: return node.name() != home.name();
    case v1::WITHIN_NVLINK_DOMAIN: return DomainKey(node) != DomainKey(home);
    case v1::WITHIN_RACK: return RackKey(node) != RackKey(home);
    default: return false;
  }
}

bool IsShut(const HardState& durable, const v1::NodeInfo& node) {
  for (const auto& [id, lease] : durable.leases) {
    if (lease.phase == v1::LEASE_PHASE_RELEASING) continue;
    if (!GangOf(durable, lease.job.value).exclusive()) continue;
    for (const v1::RankPlace& place : lease.placement.ranks()) {
      if (DomainKey(NodeOf(durable, place)) == DomainKey(node)) return true;
    }
  }
  return false;
}

void Misplace(Plant plant, const HardState& durable, v1::LeasePlaced& placed) {
  const v1::Gang& gang = GangOf(durable, placed.job_id());
  v1::Placement& placement = *placed.mutable_placement();
  if (placement.ranks().empty()) return;
  const v1::NodeInfo& home = NodeOf(durable, *placement.ranks().rbegin());
  const std::string domain = DomainName(home);
  const bool alone = placement.ranks_size() == 1;
  if (plant == Plant::kUnevenGang && !domain.empty() && !gang.has_per_node()) {
    std::set<std::string> domains;
    for (const auto& place : placement.ranks()) domains.insert(DomainName(NodeOf(durable, place)));
    MoveLast(durable, placement, [&](const v1::NodeInfo& node) {
      const std::string other = DomainName(node);
      return Serves(gang, node) && other != domain && domains.count(other) != 0;
    });
  } else if (plant == Plant::kMixedGang && !domain.empty() && !alone && !gang.has_per_node()) {
    MoveLast(durable, placement, [&](const v1::NodeInfo& node) {
      return Serves(gang, node) && DomainName(node).empty() && !Leaves(gang, home, node);
    });
  } else if (plant == Plant::kStrayRank && !alone) {
    MoveLast(durable, placement, [&](const v1::NodeInfo& node) {
      return Serves(gang, node) && Leaves(gang, home, node);
    });
  } else if (plant == Plant::kWrongNode) {
    MoveLast(durable, placement, [&](const v1::NodeInfo& node) { return !Serves(gang, node); });
  } else if (plant == Plant::kSharedExclusive && alone) {
    MoveLast(durable, placement,
             [&](const v1::NodeInfo& node) { return Serves(gang, node) && IsShut(durable, node); });
  }
}

void SpoilSchedule(Plant plant, const HardState& durable, v1::Event& event) {
  if (plant == Plant::kInstantTwice && event.has_job_submitted()) {
    v1::Job& job = *event.mutable_job_submitted()->mutable_job();
    if (!job.has_scheduled()) return;
    const auto schedule = durable.schedules.find(ScheduleId{job.scheduled().schedule_id()});
    if (schedule == durable.schedules.end() || schedule->second.jobs.empty()) return;
    job.mutable_scheduled()->set_instant_unix_ns(schedule->second.jobs.back().instant_unix_ns());
  } else if (plant == Plant::kInstantBack && event.has_schedule_decided()) {
    v1::ScheduleDecided& decided = *event.mutable_schedule_decided();
    const auto schedule = durable.schedules.find(ScheduleId{decided.schedule_id()});
    if (schedule == durable.schedules.end() || schedule->second.jobs.empty()) return;
    if (!decided.has_start_unix_ns()) return;
    decided.set_start_unix_ns(decided.start_unix_ns() - kLongBefore);
    // Now and then all that is decided goes back, not the instant alone.
    if (event.seq() % 2 == 0) decided.set_decided_unix_ns(decided.start_unix_ns());
  }
}

}  // namespace

void Spoil(Plant plant, const HardState& durable, v1::Event& event) {
  if (plant == Plant::kNone) return;
  if (plant == Plant::kCutGang && event.has_lease_placed()) {
    auto* ranks = event.mutable_lease_placed()->mutable_placement()->mutable_ranks();
    if (ranks->size() > 1) ranks->RemoveLast();
  } else if (plant == Plant::kSkippedAttempt && event.has_run_preparing()) {
    v1::RunPreparing& preparing = *event.mutable_run_preparing();
    if (preparing.attempt() > 1) preparing.set_attempt(preparing.attempt() + 1);
  } else if (event.has_lease_placed()) {
    Misplace(plant, durable, *event.mutable_lease_placed());
  } else {
    SpoilSchedule(plant, durable, event);
  }
}

}  // namespace rackmark::sim
