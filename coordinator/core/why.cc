#include "coordinator/core/why.h"

#include <algorithm>
#include <optional>

#include "coordinator/core/budget.h"
#include "coordinator/core/hold.h"
#include "coordinator/core/observe.h"
#include "coordinator/core/queue.h"
#include "coordinator/core/shortage.h"
#include "coordinator/core/timers.h"
#include "coordinator/core/view.h"
#include "coordinator/core/yield.h"

namespace rackmark {
namespace {

constexpr size_t kExamplesMax = 3;
constexpr int kAheadMax = 20;
constexpr size_t kHoldersMax = 20;  // a cluster may have as many leases as devices

void AddFilter(const State& state, const JobState& job, v1::WhyReply& reply) {
  const Shortage shortage = ShortageOf(state, job);
  reply.set_devices_total(shortage.refusals->total);
  reply.set_devices_left(shortage.refusals->left);
  size_t holders = 0;
  v1::FilteredDevices* others = nullptr;
  for (const plan::Refusal& refused : shortage.refusals->refused) {
    if (refused.reason == plan::Reason::kHeld && ++holders > kHoldersMax) {
      if (others == nullptr) others = reply.add_filtered();
      others->set_constraint(absl::StrCat("leased to ", holders - kHoldersMax, " more"));
      others->set_devices(others->devices() + refused.devices);
      continue;
    }
    v1::FilteredDevices* entry = reply.add_filtered();
    entry->set_constraint(RefusalText(state, refused, job));
    entry->set_devices(refused.devices);
    for (size_t i = 0; i < std::min(kExamplesMax, refused.nodes.size()); ++i) {
      entry->add_examples(state.hard.nodes.at(refused.nodes[i]).info.name());
    }
  }
}

void AddAhead(const State& state, JobId id, v1::WhyReply& reply) {
  reply.set_ahead_total(reply.ahead_total() + 1);
  if (reply.ahead_size() == kAheadMax) return;
  const JobState& other = state.hard.jobs.at(id);
  v1::JobAhead* ahead = reply.add_ahead();
  ahead->set_job_id(id.value);
  ahead->set_name(other.job.name());
  ahead->set_phase(PhaseOf(state.hard, other));
  ahead->set_devices(other.job.spec().gang().devices());
}

// First those that have devices, then those that wait before it.
void AddQueue(const State& state, const JobState& job, v1::WhyReply& reply) {
  reply.set_priority(job.job.spec().priority());
  const auto waiting = WaitingAhead(state, job.id);
  if (!waiting.has_value()) return;
  reply.set_position(static_cast<uint32_t>(waiting->size() + 1));
  std::set<JobId> holders;
  for (const auto& [id, lease] : state.hard.leases) holders.insert(lease.job);
  for (const JobId id : holders) {
    if (id != job.id) AddAhead(state, id, reply);
  }
  for (const JobId id : *waiting) {
    if (holders.count(id) == 0) AddAhead(state, id, reply);
  }
}

void AddPass(const State& state, Nanos now, v1::WhyReply& reply) {
  const std::optional<plan::Pass>& last = state.soft.planner.last;
  if (!last.has_value()) return;
  v1::QueuePass& pass = *reply.mutable_last_pass();
  if (last->head.has_value()) {
    pass.set_head_job_id(last->head->ticket.value);
    if (last->head->at.has_value()) pass.set_head_in_ns(std::max<Nanos>(0, *last->head->at - now));
  }
  pass.set_candidates(last->candidates);
  pass.set_candidates_cut(last->candidates_cut);
  pass.set_passed_over(last->passed_over);
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

// The same of one that gets on; two Reports without news are worth a word.
void OfferStall(const State& state, const RunState& run, Nanos now, Soonest& soonest) {
  const auto since = state.soft.progress_since.find(run.id);
  if (since == state.soft.progress_since.end()) return;
  if (now - since->second < 2 * state.config.sync_interval) return;
  soonest.Offer(
      StallDeadline(state, run),
      absl::StrCat("run ", DisplayRun(state.hard.cluster_id, run.id),
                   " must get on, as it has not for ", FormatDuration(now - since->second)));
}

void AddDeadline(const State& state, const JobState& job, Nanos now, v1::WhyReply& reply) {
  Soonest soonest;
  for (const LeaseId id : job.leases) {
    const LeaseState& lease = state.hard.leases.at(id);
    soonest.Offer(LeaseClock(state, lease).deadline, "the ranks must have met");
    soonest.Offer(HeldUntil(state, lease), "the hold of its null workload ends");
    soonest.Offer(BlameDeadline(state, lease), "the culprit of a failure must have spoken");
    const auto grace = GraceEnd(state, lease);
    if (grace > now) soonest.Offer(grace, "the grace is over in which it makes room");
    for (const std::optional<RunId>& run_id : {lease.draining, lease.run}) {
      if (!run_id.has_value()) continue;
      const RunState& run = state.hard.runs.at(*run_id);
      soonest.Offer(
          RunClock(state, run).deadline,
          absl::StrCat("run ", DisplayRun(state.hard.cluster_id, run.id), MustBe(run.phase)));
      OfferStall(state, run, now, soonest);
    }
    OfferSilence(state, lease, now, soonest);
  }
  soonest.Offer(BudgetEnd(state, job), "its budget is used up");
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
  AddFilter(state, job, reply);
  AddQueue(state, job, reply);
  AddPass(state, now, reply);
  AddDeadline(state, job, now, reply);
  reply.set_summary(WhySentence(state, job, now));
  return reply;
}

}  // namespace rackmark
