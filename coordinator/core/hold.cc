#include "coordinator/core/hold.h"

#include "coordinator/core/observe.h"
#include "coordinator/core/timers.h"

namespace rackmark {
namespace {

const v1::Hold* HoldOf(const v1::RunSpec& spec) {
  return spec.null().has_hold() ? &spec.null().hold() : nullptr;
}

// Missing once it is over.
std::optional<Nanos> End(const State& state, const JobState& job, const v1::Hold* hold,
                         v1::HoldPhase phase, Nanos since) {
  if (hold == nullptr || hold->phase() != phase || job.cancel_requested) return std::nullopt;
  const Nanos end = since + hold->duration_ns();
  return end > state.soft.now ? std::optional<Nanos>(end) : std::nullopt;
}

std::string Held(v1::HoldPhase phase) {
  const std::string name = v1::HoldPhase_Name(phase);
  return absl::StrCat("held in ", name.substr(std::string_view("HOLD_PHASE_").size()));
}

// The rank that was asked to hold speaks for all; else the first that says anything.
std::string WordOfRanks(const State& state, const LeaseState& lease, const v1::Hold& hold) {
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    if (hold.has_rank() && hold.rank() != place.rank()) continue;
    const v1::RankReport* rank = RankOf(state, lease, place);
    if (rank != nullptr && !rank->note().empty()) return rank->note();
  }
  return "";
}

}  // namespace

const v1::Hold* RankHold(const State& state, const LeaseState& lease) {
  if (lease.generation != 1) return nullptr;
  return HoldOf(state.hard.jobs.at(lease.job).job.spec().runs(0));
}

std::optional<Nanos> HeldUntil(const State& state, const LeaseState& lease) {
  if (lease.phase != v1::LEASE_PHASE_STARTING) return std::nullopt;
  return End(state, state.hard.jobs.at(lease.job), RankHold(state, lease), v1::HOLD_PHASE_PLACED,
             LeaseClock(state, lease).since);
}

std::optional<Nanos> HeldUntil(const State& state, const RunState& run) {
  const bool draining = run.phase == v1::RUN_PHASE_DRAINING;
  if (run.attempt != 1 || (!draining && run.phase != v1::RUN_PHASE_JUDGING)) return std::nullopt;
  return End(state, state.hard.jobs.at(run.job), HoldOf(SpecOf(state.hard, run)),
             draining ? v1::HOLD_PHASE_DRAINING : v1::HOLD_PHASE_JUDGING,
             RunClock(state, run).since);
}

std::string HoldNote(const State& state, const RunState& run) {
  const v1::Hold* hold = HoldOf(SpecOf(state.hard, run));
  if (hold == nullptr) return "";
  if (HeldUntil(state, run)) return Held(hold->phase());
  if (run.phase == v1::RUN_PHASE_PREPARING || run.phase == v1::RUN_PHASE_MEASURING) {
    return WordOfRanks(state, state.hard.leases.at(run.lease), *hold);
  }
  // Before the first run there is only the lease to speak of.
  const JobState& job = state.hard.jobs.at(run.job);
  if (run.id != job.first_run || run.phase != v1::RUN_PHASE_QUEUED || !job.lease) return "";
  const LeaseState& lease = state.hard.leases.at(*job.lease);
  if (RankHold(state, lease) == nullptr) return "";
  return HeldUntil(state, lease) ? Held(hold->phase()) : WordOfRanks(state, lease, *hold);
}

}  // namespace rackmark
