// What this worker is doing, as plain data: what reconcile reads and reports are built from. Owned
// by the daemon's loop thread.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "common/time.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {

struct RunKey {
  uint64_t run_id = 0;  // 0 = between runs
  uint32_t attempt = 0;
  auto operator<=>(const RunKey&) const = default;
};

// One rank of a lease on this node, from its start until its lease is forgotten.
struct LocalRank {
  uint32_t device = 0;
  int pid = 0;
  std::string segment;  // in /dev/shm, if it makes one and is killed before all have attached
  v1::RankPhase phase = v1::RANK_PHASE_STARTING;
  RunKey run;  // that `phase` speaks of
  std::optional<v1::AddressCard> card;
  bool connect_sent = false;
  bool met = false;                    // was READY once
  std::optional<v1::DesiredRun> told;  // the last run that it was told, without its spec
  std::optional<RunKey> refused;       // that run, in its place: it never heard of it
  std::string artifact;                // sha256 of the file that it was given last, whole
  std::string feeding;                 // of the one that it is being given
  std::optional<v1::Failure> failure;  // the first cause
  std::string note;
  uint64_t progress = 0;  // frames of results, and news of the rank, over all its runs
  std::string transport;  // its own sentence, once it has met the others
  std::optional<uint64_t> rss_bytes;
  std::optional<Nanos> stopping_since;  // RankStop sent; CLOCK_MONOTONIC, as all below
  std::optional<Nanos> killed_at;       // SIGKILL sent
  bool reaped = false;                  // no process left
};

struct LocalLease {
  uint32_t generation = 0;
  uint32_t world_size = 0;
  std::map<uint32_t, LocalRank> ranks;
};

struct LocalState {
  uint32_t device_count = 0;
  // Only while the coordinator was heard lately: a fenced worker starts nothing.
  bool may_start = false;
  std::map<uint64_t, LocalLease> leases;
  std::set<std::string> artifacts;  // sha256 of files that are here
  // That cannot be had, and why: until every rank that wanted one has been told.
  std::map<std::string, std::string> artifact_errors;
  // Devices on which a rank of the former incarnation still lives, and its lease.
  std::map<uint32_t, uint64_t> leftovers;

  // The lease whose process is, or may still be, on the device; missing = free.
  std::optional<uint64_t> HolderOf(uint32_t device) const {
    for (const auto& [lease_id, lease] : leases) {
      for (const auto& entry : lease.ranks) {
        if (entry.second.device == device && !entry.second.reaped) return lease_id;
      }
    }
    const auto leftover = leftovers.find(device);
    if (leftover != leftovers.end()) return leftover->second;
    return std::nullopt;
  }
  bool AnyProcess() const {
    for (const auto& lease : leases) {
      for (const auto& entry : lease.second.ranks) {
        if (!entry.second.reaped) return true;
      }
    }
    return false;
  }
};

}  // namespace rackmark
