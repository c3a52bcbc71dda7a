#include "coordinator/core/queue.h"

#include "coordinator/core/budget.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/schedules.h"
#include "coordinator/core/shortage.h"
#include "coordinator/core/suite.h"
#include "coordinator/core/yield.h"

namespace rackmark {

namespace {

bool HasWork(const State& state, const JobState& job) {
  if (job.lease.has_value() || job.cancel_requested) return false;
  if (IsBlocked(state, job)) return false;
  if (SetupExhausted(state, job)) return false;
  if (BudgetLeft(job, 1) == 0) return false;
  for (RunId run : RunsOf(job)) {
    if (state.hard.runs.at(run).phase == v1::RUN_PHASE_QUEUED) return true;
  }
  return false;
}

}  // namespace

bool WantsGang(const State& state, const JobState& job) {
  if (!HasWork(state, job)) return false;
  const auto closure = ClosureOf(state, job);
  return !closure.has_value() || !closure->closed;
}

std::string ClosedReason(const State& state, const JobState& job) {
  if (!HasWork(state, job)) return "";
  const std::string closed = ClosureText(state, job);
  return closed.empty() ? "" : absl::StrCat("waits for ", closed);
}

QueueLook LookAtQueue(const State& state) {
  QueueLook look;
  const Planner& planner = state.soft.planner;
  plan::PassOptions options;
  options.share_now = state.soft.wall;
  look.pass = plan::RunPass(planner.fleet, planner.queue, planner.ledger, state.soft.now, options);
  if (look.pass.start.has_value()) {
    const JobId job{look.pass.start->ticket.value};
    v1::LeasePlaced* placed = look.events.emplace_back().mutable_lease_placed();
    placed->set_lease_id(state.hard.last_lease + 1);
    placed->set_job_id(job.value);
    placed->set_generation(state.hard.jobs.at(job).generations + 1);
    *placed->mutable_placement() = plan::ToPlacement(planner.fleet, look.pass.start->place.seats);
  } else {
    EmitVictims(state, look.pass, look.events);
  }
  return look;
}

bool MayLook(Planner& planner, Nanos now) {
  if (now - planner.looks_since >= kVainLooksWithin) {
    planner.looks_since = now;
    planner.vain_looks = 0;
  }
  return planner.vain_looks < kVainLooksMax;
}

std::optional<std::vector<JobId>> WaitingAhead(const State& state, JobId job) {
  const Planner& planner = state.soft.planner;
  if (planner.queue.Find(plan::TicketId{job.value}) == nullptr) return std::nullopt;
  std::vector<JobId> ahead;
  plan::Order order(planner.queue, planner.ledger, state.soft.wall);
  while (const plan::WaitingQueue::Entry* entry = order.Next()) {
    const JobId other{entry->ticket.id.value};
    if (other == job) break;
    ahead.push_back(other);
  }
  return ahead;
}

std::vector<std::string> WaitingReasons(const State& state, JobId id) {
  const JobState& job = state.hard.jobs.at(id);
  if (const Admission admission = AdmissionOf(state, job); !admission.free) {
    return {absl::StrCat("waits for ", admission.waits_for)};
  }
  if (const std::string closed = ClosedReason(state, job); !closed.empty()) return {closed};
  if (!WantsGang(state, job)) return {};
  const Shortage shortage = ShortageOf(state, job);
  if (!shortage.fits) return ShortageSentences(state, job, shortage);
  const std::optional<plan::Pass>& last = state.soft.planner.last;
  if (last.has_value() && last->head.has_value() && last->head->ticket.value != id.value) {
    return {absl::StrCat("waits behind job ",
                         DisplayJob(state.hard.cluster_id, JobId{last->head->ticket.value}))};
  }
  return {"is about to be placed"};
}

}  // namespace rackmark
