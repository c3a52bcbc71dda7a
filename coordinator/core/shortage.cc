#include "coordinator/core/shortage.h"

#include <algorithm>

namespace rackmark {
namespace {

using plan::Reason;

constexpr size_t kHoldersMax = 8;  // named; a cluster may have as many leases as devices

std::string Devices(uint32_t count, v1::DeviceKind kind) {
  const char* word = kind == v1::DEVICE_KIND_GPU ? "GPU" : "CPU";
  return absl::StrCat(count, " ", word, count == 1 ? " device" : " devices");
}

std::string HolderText(const State& state, LeaseId holder) {
  const auto lease = state.hard.leases.find(holder);
  if (lease == state.hard.leases.end()) return "processes of an ended lease";
  return absl::StrCat("job ", DisplayJob(state.hard.cluster_id, lease->second.job));
}

bool IsFree(Reason reason) { return reason > Reason::kHeld; }

const char* IslandWord(v1::Within within) {
  switch (within) {
    case v1::WITHIN_NODE: return "node";
    case v1::WITHIN_NVLINK_DOMAIN: return "NVLink domain";
    case v1::WITHIN_RACK: return "rack";
    default: return "cluster";
  }
}

std::string HeldText(const State& state, const plan::Refusal& refusal, const JobState& job) {
  const auto lease = state.hard.leases.find(refusal.holder);
  if (lease == state.hard.leases.end()) return "held by processes of an ended lease";
  const bool own = lease->second.job == job.id;
  const std::string name = own ? "this job" : HolderText(state, refusal.holder);
  const bool going = lease->second.phase == v1::LEASE_PHASE_RELEASING;
  return absl::StrCat(going ? "being given back by " : "leased to ", name);
}

// What is said of whole nodes.
const char* NodeWords(Reason reason) {
  switch (reason) {
    case Reason::kLost: return "LOST";
    case Reason::kSilent: return "SUSPECT";
    case Reason::kUnreported: return "not heard of since the coordinator started";
    case Reason::kCordoned: return "cordoned";
    case Reason::kQuarantined: return "in quarantine";
    case Reason::kInUse: return "not in quarantine";
    default: return nullptr;
  }
}

// What is said of single devices.
const char* DeviceWords(Reason reason) {
  switch (reason) {
    case Reason::kModel: return "of another model";
    case Reason::kLabel: return "on nodes without its labels";
    case Reason::kNotNamed: return "on nodes that it does not name";
    case Reason::kAvoided: return "on nodes that broke it before";
    case Reason::kUnhealthy: return "unhealthy";
    case Reason::kDomainBusy: return "free in NVLink domains that others are in";
    default: return nullptr;
  }
}

void AddHeld(const State& state, const JobState& job, const Shortage& shortage,
             std::vector<std::string>& reasons) {
  const v1::DeviceKind kind = job.job.spec().gang().kind();
  size_t holders = 0;
  uint32_t others = 0;
  for (const plan::Refusal& refusal : shortage.refusals->refused) {
    if (refusal.reason != Reason::kHeld) continue;
    if (++holders > kHoldersMax) {
      others += refusal.devices;
      continue;
    }
    reasons.push_back(absl::StrCat(Devices(refusal.devices, kind), " busy with ",
                                   HolderText(state, refusal.holder)));
  }
  if (others == 0) return;
  reasons.push_back(
      absl::StrCat(Devices(others, kind), " busy with ", holders - kHoldersMax, " more"));
}

void AddOthers(const State& state, const JobState& job, const Shortage& shortage,
               std::vector<std::string>& reasons) {
  const v1::Gang& gang = job.job.spec().gang();
  for (const plan::Refusal& refusal : shortage.refusals->refused) {
    if (refusal.reason == Reason::kHeld) continue;  // there may be ten thousand of them
    const std::string devices = Devices(refusal.devices, gang.kind());
    if (const char* words = NodeWords(refusal.reason)) {
      const size_t count = refusal.nodes.size();
      reasons.push_back(absl::StrCat(count, " of ", shortage.nodes, " nodes ",
                                     count == 1 ? "is " : "are ", words));
    } else if (const char* said = DeviceWords(refusal.reason)) {
      reasons.push_back(absl::StrCat(devices, " ", said));
    } else if (refusal.reason == Reason::kExclusive) {
      reasons.push_back(absl::StrCat(devices, " free in an NVLink domain that ",
                                     HolderText(state, refusal.holder), " has for itself"));
    } else if (refusal.reason == Reason::kShares) {
      reasons.push_back(absl::StrCat(devices, " free, but not in equal shares of NVLink domains"));
    } else if (refusal.reason == Reason::kIsland && gang.within() != v1::WITHIN_UNKNOWN &&
               gang.within() != v1::WITHIN_CLUSTER && !gang.preferred()) {
      reasons.push_back(absl::StrCat(devices, " free, but no ", IslandWord(gang.within()),
                                     " has enough of them"));
    }
  }
}

}  // namespace

Shortage ShortageOf(const State& state, const JobState& job) {
  Shortage shortage;
  const plan::WaitingQueue::Entry* entry =
      state.soft.planner.queue.Find(plan::TicketId{job.id.value});
  shortage.request = entry == nullptr ? RequestOf(job.job.spec().gang()) : entry->ticket.request;
  shortage.refusals = plan::Explained(state.soft.planner.fleet, shortage.request);
  shortage.nodes = static_cast<uint32_t>(state.soft.planner.fleet.nodes().size());
  shortage.known = shortage.refusals->total;
  shortage.free = shortage.refusals->left;
  shortage.fits = shortage.refusals->left > 0;
  for (const plan::Refusal& refusal : shortage.refusals->refused) {
    if (refusal.reason == Reason::kKind) shortage.known -= refusal.devices;
    if (IsFree(refusal.reason)) shortage.free += refusal.devices;
    if (refusal.reason == Reason::kIsland || refusal.reason == Reason::kShares) {
      shortage.nodes_with_per_node += static_cast<uint32_t>(refusal.nodes.size());
    }
  }
  return shortage;
}

std::string NeedText(const v1::Gang& gang) {
  std::string text = Devices(gang.devices(), gang.kind());
  if (gang.has_per_node()) absl::StrAppend(&text, ", ", gang.per_node(), " on each node");
  const bool limited = gang.within() != v1::WITHIN_UNKNOWN && gang.within() != v1::WITHIN_CLUSTER;
  if (limited && !gang.preferred()) {
    absl::StrAppend(&text, ", within one ", IslandWord(gang.within()));
  }
  if (gang.exclusive()) absl::StrAppend(&text, ", alone in its NVLink domains");
  return text;
}

std::string ImpossibleText(const State& state, const v1::Gang& gang, uint32_t known) {
  const plan::GangRequest request = RequestOf(gang);
  const auto fits = [&](void (*relax)(plan::GangRequest&)) {
    plan::GangRequest relaxed = request;
    relax(relaxed);
    return plan::CouldFit(state.soft.planner.fleet, relaxed, plan::Assume::kIdeal);
  };
  const std::string sum = absl::StrCat("they have ", known, " in all");
  if (known < gang.devices()) return sum;
  if (fits([](plan::GangRequest& r) { r.selector.models.clear(); })) {
    return absl::StrCat(sum, ", but too few of its models");
  }
  if (fits([](plan::GangRequest& r) { r.selector.labels.clear(); })) {
    return absl::StrCat(sum, ", but too few on nodes with its labels");
  }
  if (fits([](plan::GangRequest& r) { r.selector.nodes.clear(); })) {
    return absl::StrCat(sum, ", but too few on nodes that it names");
  }
  if (fits([](plan::GangRequest& r) { r.per_node.reset(); })) {
    return absl::StrCat(sum, ", but too few nodes have ", gang.per_node());
  }
  if (fits([](plan::GangRequest& r) { r.within = plan::Within::kCluster; })) {
    return absl::StrCat(sum, ", but no ", IslandWord(gang.within()), " has so many");
  }
  return absl::StrCat(sum, ", but not as it wants them");
}

std::string RefusalText(const State& state, const plan::Refusal& refusal, const JobState& job) {
  const v1::Gang& gang = job.job.spec().gang();
  if (const char* words = NodeWords(refusal.reason)) {
    return refusal.reason == Reason::kUnreported
               ? "node has not been heard of since the coordinator started"
               : absl::StrCat("node is ", words);
  }
  switch (refusal.reason) {
    case Reason::kKind:
      return absl::StrCat("device kind is ", gang.kind() == v1::DEVICE_KIND_GPU ? "cpu" : "gpu");
    case Reason::kModel: return "device is of another model";
    case Reason::kLabel: return "node has not the labels that are asked for";
    case Reason::kNotNamed: return "node is not one of those that are asked for";
    case Reason::kAvoided: return "node broke a run of this job";
    case Reason::kUnhealthy: return "device is unhealthy";
    case Reason::kHeld: return HeldText(state, refusal, job);
    case Reason::kExclusive:
      return absl::StrCat("in an NVLink domain that ", HolderText(state, refusal.holder),
                          " has for itself");
    case Reason::kDomainBusy: return "in an NVLink domain that others are in";
    case Reason::kPerNode:
      return absl::StrCat("node has fewer than ", gang.per_node(), " usable at once");
    case Reason::kIsland:
      return gang.preferred() || gang.within() == v1::WITHIN_CLUSTER ||
                     gang.within() == v1::WITHIN_UNKNOWN
                 ? "too few are left for it"
                 : absl::StrCat("its ", IslandWord(gang.within()), " has too few left");
    case Reason::kShares: return "not in equal shares of NVLink domains";
    default: return "unknown";
  }
}

std::vector<std::string> ShortageSentences(const State& state, const JobState& job,
                                           const Shortage& shortage) {
  if (shortage.fits) return {};
  const v1::Gang& gang = job.job.spec().gang();
  std::vector<std::string> reasons;
  reasons.push_back(absl::StrCat("needs ", NeedText(gang), "; ", shortage.free, " of ",
                                 shortage.known, " known ", shortage.known == 1 ? "is" : "are",
                                 " free"));
  if (shortage.refusals->impossible) {
    reasons.push_back(
        absl::StrCat("does not fit the known nodes (", shortage.nodes, ") even when all is free"));
  }
  if (gang.has_per_node()) {
    reasons.push_back(absl::StrCat(shortage.nodes_with_per_node, " of ",
                                   gang.devices() / std::max(1u, gang.per_node()), " nodes have ",
                                   gang.per_node(), " free at once"));
  }
  AddHeld(state, job, shortage, reasons);
  AddOthers(state, job, shortage, reasons);
  return reasons;
}

}  // namespace rackmark
