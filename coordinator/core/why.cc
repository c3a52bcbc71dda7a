#include "coordinator/core/why.h"

#include <algorithm>
#include <optional>

#include "coordinator/core/hold.h"
#include "coordinator/core/observe.h"
#include "coordinator/core/queue.h"
#include "coordinator/core/timers.h"
#include "coordinator/core/view.h"
#include "coordinator/plan/filter.h"

namespace rackmark {
namespace {

constexpr size_t kExamplesMax = 3;
constexpr int kAheadMax = 20;
constexpr size_t kHoldersMax = 20;  // a cluster may have as many leases as devices

std::string HolderText(const State& state, LeaseId holder, JobId self) {
  const auto lease = state.hard.leases.find(holder);
  if (lease == state.hard.leases.end()) return "held by processes of an ended lease";
  const bool own = lease->second.job == self;
  const std::string job =
      own ? "this job" : absl::StrCat("job ", DisplayJob(state.hard.cluster_id, lease->second.job));
  return absl::StrCat(
      lease->second.phase == v1::LEASE_PHASE_RELEASING ? "being given back by " : "leased to ",
      job);
}

// Said of the devices that it refuses.
std::string ConstraintText(const State& state, const plan::Filtered& filtered, const v1::Gang& gang,
                           JobId self) {
  switch (filtered.constraint) {
    case plan::Constraint::kKind:
      return absl::StrCat("device kind is ", gang.kind() == v1::DEVICE_KIND_GPU ? "cpu" : "gpu");
    case plan::Constraint::kLost: return "node is LOST";
    case plan::Constraint::kSilent: return "node is SUSPECT";
    case plan::Constraint::kUnreported:
      return "node has not been heard of since the coordinator started";
    case plan::Constraint::kUnhealthy: return "device is unhealthy";
    case plan::Constraint::kHeld: return HolderText(state, filtered.holder, self);
    case plan::Constraint::kPerNode:
      return absl::StrCat("node has fewer than ", gang.per_node(), " usable at once");
  }
  return "unknown";
}

void AddFilter(const State& state, JobId id, const v1::Gang& gang, v1::WhyReply& reply) {
  const plan::Filtering filtering = plan::Filter(InventoryOf(state), gang);
  reply.set_devices_total(filtering.total);
  reply.set_devices_left(filtering.left);
  size_t holders = 0;
  v1::FilteredDevices* others = nullptr;
  for (const plan::Filtered& filtered : filtering.filtered) {
    if (filtered.constraint == plan::Constraint::kHeld && ++holders > kHoldersMax) {
      if (others == nullptr) others = reply.add_filtered();
      others->set_constraint(absl::StrCat("leased to ", holders - kHoldersMax, " more"));
      others->set_devices(others->devices() + filtered.devices);
      continue;
    }
    v1::FilteredDevices* entry = reply.add_filtered();
    entry->set_constraint(ConstraintText(state, filtered, gang, id));
    entry->set_devices(filtered.devices);
    for (size_t i = 0; i < std::min(kExamplesMax, filtered.nodes.size()); ++i) {
      entry->add_examples(state.hard.nodes.at(filtered.nodes[i]).info.name());
    }
  }
}

// Older jobs that hold devices or want some: the queue is by age.
void AddAhead(const State& state, JobId id, v1::WhyReply& reply) {
  for (const auto& [other, older] : state.hard.jobs) {
    if (other >= id) break;
    if (older.leases.empty() && !WantsGang(state, older)) continue;
    reply.set_ahead_total(reply.ahead_total() + 1);
    if (reply.ahead_size() == kAheadMax) continue;
    v1::JobAhead* ahead = reply.add_ahead();
    ahead->set_job_id(other.value);
    ahead->set_name(older.job.name());
    ahead->set_phase(PhaseOf(state.hard, older));
    ahead->set_devices(older.job.spec().gang().devices());
  }
}

// Keeps the one that comes first.
class Soonest {
 public:
  void Offer(std::optional<Nanos> at, std::string what) {
    if (!at.has_value() || (at_.has_value() && *at_ <= *at)) return;
    at_ = at;
    what_ = std::move(what);
  }
  void Tell(Nanos now, v1::WhyReply& reply) const {
    if (!at_.has_value()) return;
    reply.mutable_next_deadline()->set_what(what_);
    reply.mutable_next_deadline()->set_in_ns(std::max<Nanos>(0, *at_ - now));
  }

 private:
  std::optional<Nanos> at_;
  std::string what_;
};

const char* MustBe(v1::RunPhase phase) {
  if (phase == v1::RUN_PHASE_PREPARING) return " must be prepared";
  return phase == v1::RUN_PHASE_MEASURING ? " must be measured"
                                          : " must have delivered its samples";
}

// A node that is silent is waited for, and then not any more. One in touch has no deadline that
// anybody would see pass: each Report moves it.
void OfferSilence(const State& state, const LeaseState& lease, Nanos now, Soonest& soonest) {
  for (const NodeId id : NodesOf(lease.placement)) {
    const NodeState& node = state.hard.nodes.at(id);
    const Nanos heard = now - SilenceOf(state, id, now);
    if (node.phase == v1::NODE_PHASE_SUSPECT) {
      soonest.Offer(heard + state.config.lost_after,
                    absl::StrCat("node ", node.info.name(), " is taken for lost"));
    } else if (node.phase == v1::NODE_PHASE_LOST && !HasFreed(state, lease, id, now)) {
      soonest.Offer(heard + state.config.release_after,
                    absl::StrCat("devices of node ", node.info.name(), " are given up"));
    }
  }
}

void AddDeadline(const State& state, const JobState& job, Nanos now, v1::WhyReply& reply) {
  Soonest soonest;
  for (const LeaseId id : job.leases) {
    const LeaseState& lease = state.hard.leases.at(id);
    soonest.Offer(LeaseClock(state, lease).deadline, "the ranks must have met");
    soonest.Offer(HeldUntil(state, lease), "the hold of its null workload ends");
    soonest.Offer(BlameDeadline(state, lease), "the culprit of a failure must have spoken");
    for (const std::optional<RunId>& run_id : {lease.draining, lease.run}) {
      if (!run_id.has_value()) continue;
      const RunState& run = state.hard.runs.at(*run_id);
      soonest.Offer(
          RunClock(state, run).deadline,
          absl::StrCat("run ", DisplayRun(state.hard.cluster_id, run.id), MustBe(run.phase)));
    }
    OfferSilence(state, lease, now, soonest);
  }
  for (const RunId id : RunsOf(job)) {
    soonest.Offer(HeldUntil(state, state.hard.runs.at(id)),
                  absl::StrCat("the hold of run ", DisplayRun(state.hard.cluster_id, id), " ends"));
  }
  soonest.Tell(now, reply);
}

}  // namespace

v1::WhyReply WhyJob(const State& state, JobId id, Nanos now) {
  const JobState& job = state.hard.jobs.at(id);
  v1::WhyReply reply;
  *reply.mutable_job() = ViewJob(state, id);
  *reply.mutable_gang() = job.job.spec().gang();
  AddFilter(state, id, job.job.spec().gang(), reply);
  if (WantsGang(state, job)) AddAhead(state, id, reply);
  AddDeadline(state, job, now, reply);
  reply.set_summary(WhySentence(state, job, now));
  return reply;
}

}  // namespace rackmark
