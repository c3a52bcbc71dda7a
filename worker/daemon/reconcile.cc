#include "worker/daemon/reconcile.h"

#include <algorithm>
#include <set>

namespace rackmark {
namespace {

const v1::DesiredLease* FindLease(const v1::DesiredState& desired, uint64_t lease_id) {
  for (const v1::DesiredLease& lease : desired.leases()) {
    if (lease.lease_id() == lease_id) return &lease;
  }
  return nullptr;
}

bool Wants(const v1::DesiredLease& lease, uint32_t rank) {
  return std::any_of(lease.ranks().begin(), lease.ranks().end(),
                     [rank](const v1::DesiredRank& r) { return r.rank() == rank; });
}

// A rank that is desired no more. `in_order`: it is told first, and killed after the grace.
void End(const RankRef& ref, const LocalRank& rank, bool in_order, Nanos now,
         std::vector<Action>* actions) {
  if (rank.reaped || rank.killed_at) return;
  if (!in_order || (rank.stopping_since && now - *rank.stopping_since >= kStopGrace)) {
    actions->push_back(KillRank{ref});
  } else if (!rank.stopping_since) {
    actions->push_back(StopRank{ref});
  }
}

void EndLease(uint64_t lease_id, const LocalLease& lease, bool in_order, Nanos now,
              std::vector<Action>* actions) {
  bool left = false;
  for (const auto& [index, rank] : lease.ranks) {
    End({lease_id, index}, rank, in_order, now, actions);
    left = left || !rank.reaped;
  }
  if (!left) actions->push_back(ForgetLease{lease_id});
}

// A run is told once per goal, and a goal never goes back within one attempt.
bool MustTell(const LocalRank& rank, const v1::DesiredRun& run) {
  if (!rank.told) return true;
  const RunKey told{rank.told->run_id(), rank.told->attempt()};
  if (told != RunKey{run.run_id(), run.attempt()}) return true;
  return run.goal() > rank.told->goal();
}

// The file that must be with the rank before the run is told; empty = none.
const std::string& ArtifactOf(const v1::DesiredRun& run) {
  return run.spec().serve().load().trace().sha256();
}

bool WaitsForArtifact(const v1::DesiredLease& lease, const LocalRank& rank) {
  if (rank.reaped || rank.killed_at || rank.stopping_since) return false;
  return lease.has_run() && rank.met && MustTell(rank, lease.run()) &&
         !ArtifactOf(lease.run()).empty() && rank.artifact != ArtifactOf(lease.run());
}

void AdvanceArtifact(const v1::DesiredRun& run, const RankRef& ref, const LocalRank& rank,
                     const LocalState& local, std::vector<Action>* actions) {
  if (!rank.feeding.empty()) return;  // also of another run's file: one at a time
  const std::string& sha256 = ArtifactOf(run);
  const auto error = local.artifact_errors.find(sha256);
  if (local.artifacts.count(sha256) > 0) {
    actions->push_back(FeedRank{ref, sha256});
  } else if (error != local.artifact_errors.end()) {
    actions->push_back(RefuseRun{ref, run, error->second});
  }
}

// A rank that failed in a run may still do the next one; one that failed before it met the others
// never will.
void Advance(const v1::DesiredLease& lease, const RankRef& ref, const LocalRank& rank,
             const LocalState& local, std::vector<Action>* actions) {
  if (rank.reaped || rank.killed_at || rank.stopping_since) return;
  if (lease.go() && rank.card && !rank.connect_sent && rank.phase != v1::RANK_PHASE_FAILED) {
    SendConnect action{ref, {}};
    *action.connect.mutable_cards() = lease.cards();
    actions->push_back(std::move(action));
  }
  if (WaitsForArtifact(lease, rank)) {
    AdvanceArtifact(lease.run(), ref, rank, local, actions);
  } else if (lease.has_run() && rank.met && MustTell(rank, lease.run())) {
    actions->push_back(SendRun{ref, lease.run()});
  }
}

}  // namespace

std::vector<Action> Reconcile(const v1::DesiredState& desired, const LocalState& local, Nanos now) {
  std::vector<Action> actions;
  for (const auto& [lease_id, lease] : local.leases) {
    const v1::DesiredLease* wanted = FindLease(desired, lease_id);
    if (wanted == nullptr) {
      EndLease(lease_id, lease, /*in_order=*/true, now, &actions);
      continue;
    }
    if (wanted->generation() != lease.generation) {
      // Cards serve one communicator: nothing of the old generation is worth an orderly end.
      EndLease(lease_id, lease, /*in_order=*/false, now, &actions);
      continue;
    }
    for (const auto& [index, rank] : lease.ranks) {
      const RankRef ref{lease_id, index};
      if (!Wants(*wanted, index)) {
        End(ref, rank, /*in_order=*/true, now, &actions);
      } else {
        Advance(*wanted, ref, rank, local, &actions);
      }
    }
  }
  if (!local.may_start) return actions;
  std::set<uint32_t> taken;  // by starts of this very answer
  for (const v1::DesiredLease& lease : desired.leases()) {
    const auto known = local.leases.find(lease.lease_id());
    if (known != local.leases.end() && known->second.generation != lease.generation()) continue;
    for (const v1::DesiredRank& rank : lease.ranks()) {
      if (known != local.leases.end() && known->second.ranks.count(rank.rank()) > 0) continue;
      if (local.HolderOf(rank.device()) || !taken.insert(rank.device()).second) continue;
      actions.push_back(
          StartRank{{lease.lease_id(), rank.rank()},
                    lease.generation(),
                    lease.world_size(),
                    rank.device(),
                    lease.kind(),
                    lease.has_hold() ? std::optional<v1::Hold>(lease.hold()) : std::nullopt,
                    static_cast<uint32_t>(lease.ranks_size()) == lease.world_size()});
    }
  }
  return actions;
}

std::optional<std::string> WantedArtifact(const v1::DesiredState& desired,
                                          const LocalState& local) {
  for (const v1::DesiredLease& lease : desired.leases()) {
    const auto known = local.leases.find(lease.lease_id());
    if (known == local.leases.end() || known->second.generation != lease.generation()) continue;
    const std::string& sha256 = ArtifactOf(lease.run());
    if (local.artifacts.count(sha256) > 0 || local.artifact_errors.count(sha256) > 0) continue;
    for (const auto& entry : known->second.ranks) {
      if (Wants(lease, entry.first) && WaitsForArtifact(lease, entry.second)) return sha256;
    }
  }
  return std::nullopt;
}

std::optional<Nanos> NextReconcile(const LocalState& local) {
  std::optional<Nanos> next;
  for (const auto& lease : local.leases) {
    for (const auto& entry : lease.second.ranks) {
      const LocalRank& rank = entry.second;
      if (rank.reaped || rank.killed_at || !rank.stopping_since) continue;
      const Nanos due = *rank.stopping_since + kStopGrace;
      next = next ? std::min(*next, due) : due;
    }
  }
  return next;
}

}  // namespace rackmark
