#include "coordinator/core/observe.h"

#include "common/utf8.h"
#include "coordinator/core/timers.h"

namespace rackmark {
namespace {

const SoftNode* SoftOf(const State& state, NodeId node) {
  const auto found = state.soft.nodes.find(node);
  return found == state.soft.nodes.end() ? nullptr : &found->second;
}

bool IsDesired(const SoftNode& soft, LeaseId lease) {
  for (const v1::DesiredLease& desired : soft.desired.leases()) {
    if (desired.lease_id() == lease.value) return true;
  }
  return false;
}

// The Report reflects a version at or after the one in which the lease came, or went.
bool ReflectsChangeOf(const SoftNode& soft, LeaseId lease) {
  const auto since = soft.desired_since.find(lease);
  return soft.reported && soft.reflects >= (since == soft.desired_since.end() ? 1 : since->second);
}

bool IsAlive(v1::RankPhase phase) {
  return phase != v1::RANK_PHASE_FAILED && phase != v1::RANK_PHASE_EXITED;
}

const v1::StreamReport* StreamOf(const v1::Report& report, const RunState& run, v1::StreamKind kind,
                                 uint32_t stream) {
  for (const v1::StreamReport& candidate : report.streams()) {
    if (candidate.run_id() == run.id.value && candidate.attempt() == run.attempt &&
        candidate.kind() == kind && candidate.stream() == stream) {
      return &candidate;
    }
  }
  return nullptr;
}

bool SameCard(const v1::AddressCard& a, const v1::AddressCard& b) {
  return a.lease_id() == b.lease_id() && a.generation() == b.generation() && a.rank() == b.rank() &&
         a.host_id() == b.host_id() && a.boot_id() == b.boot_id() &&
         a.shm_device() == b.shm_device() && a.shm_name() == b.shm_name() &&
         a.shm_nonce() == b.shm_nonce() && a.nccl_unique_id() == b.nccl_unique_id() &&
         a.gloo_addresses() == b.gloo_addresses() && a.channel_address() == b.channel_address() &&
         a.channel_nonce() == b.channel_nonce();
}

bool SameRank(const v1::RankReport& a, const v1::RankReport& b) {
  return a.rank() == b.rank() && a.phase() == b.phase() && a.run_id() == b.run_id() &&
         a.attempt() == b.attempt() && a.transport() == b.transport() &&
         a.has_card() == b.has_card() && SameCard(a.card(), b.card()) &&
         a.has_failure() == b.has_failure() &&
         (!a.has_failure() || a.failure().SerializeAsString() == b.failure().SerializeAsString());
}

bool SameLease(const v1::LeaseReport& a, const v1::LeaseReport& b) {
  if (a.lease_id() != b.lease_id() || a.generation() != b.generation()) return false;
  if (a.ranks_size() != b.ranks_size()) return false;
  for (int i = 0; i < a.ranks_size(); ++i) {
    if (!SameRank(a.ranks(i), b.ranks(i))) return false;
  }
  return true;
}

bool SameStream(const v1::StreamReport& a, const v1::StreamReport& b) {
  return a.run_id() == b.run_id() && a.attempt() == b.attempt() && a.kind() == b.kind() &&
         a.stream() == b.stream() && a.closed() == b.closed() && a.drained() == b.drained() &&
         a.dropped_results() == b.dropped_results() && a.refused() == b.refused();
}

bool HasReadTheEnd(const State& state, const LeaseState& lease, NodeId node) {
  const SoftNode* soft = SoftOf(state, node);
  return soft != nullptr && !IsDesired(*soft, lease.id) && ReflectsChangeOf(*soft, lease.id);
}

// The node says so of a device that is well, or of any.
bool HoldsDevices(const State& state, const LeaseState& lease, NodeId node, bool any) {
  const SoftNode* soft = SoftOf(state, node);
  if (soft == nullptr) return false;
  for (const v1::DeviceReport& device : soft->report->devices()) {
    if (device.lease_id() == lease.id.value && (any || device.healthy())) return true;
  }
  return false;
}

bool IsStored(const State& state, const v1::StreamReport& stream) {
  const auto stored = state.soft.stored.find(RunId{stream.run_id()});
  return stored != state.soft.stored.end() &&
         stored->second.count({stream.kind(), stream.stream()}) != 0;
}

}  // namespace

const v1::Report* ReportOf(const State& state, NodeId node) {
  const SoftNode* soft = SoftOf(state, node);
  return soft != nullptr && soft->reported ? &*soft->report : nullptr;
}

const v1::RankReport* RankOf(const State& state, const LeaseState& lease,
                             const v1::RankPlace& place) {
  const v1::Report* report = ReportOf(state, NodeId{place.node_id()});
  if (report == nullptr) return nullptr;
  for (const v1::LeaseReport& candidate : report->leases()) {
    if (candidate.lease_id() != lease.id.value || candidate.generation() != lease.generation) {
      continue;
    }
    for (const v1::RankReport& rank : candidate.ranks()) {
      if (rank.rank() == place.rank()) return &rank;
    }
  }
  return nullptr;
}

bool IsMissing(const State& state, const LeaseState& lease, const v1::RankPlace& place) {
  const SoftNode* soft = SoftOf(state, NodeId{place.node_id()});
  return soft != nullptr && IsDesired(*soft, lease.id) && ReflectsChangeOf(*soft, lease.id) &&
         RankOf(state, lease, place) == nullptr;
}

bool HasCard(const State& state, const LeaseState& lease, const v1::RankPlace& place) {
  const v1::RankReport* rank = RankOf(state, lease, place);
  return rank != nullptr && rank->phase() >= v1::RANK_PHASE_CARDED && IsAlive(rank->phase()) &&
         rank->has_card() && rank->card().lease_id() == lease.id.value &&
         rank->card().generation() == lease.generation && rank->card().rank() == place.rank();
}

bool IsReady(const State& state, const LeaseState& lease, const v1::RankPlace& place) {
  const v1::RankReport* rank = RankOf(state, lease, place);
  return rank != nullptr && rank->phase() >= v1::RANK_PHASE_READY && IsAlive(rank->phase());
}

std::vector<std::string> TransportsOf(const State& state, const LeaseState& lease) {
  constexpr size_t kSentencesMax = 8;
  constexpr size_t kBytesMax = 500;
  std::set<std::string> sentences;
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    const v1::RankReport* rank = RankOf(state, lease, place);
    if (rank == nullptr || rank->transport().empty()) continue;
    const std::string_view sentence = CutUtf8(rank->transport(), kBytesMax);  // for an event
    if (sentences.size() < kSentencesMax) sentences.emplace(sentence);
  }
  return {sentences.begin(), sentences.end()};
}

bool HasReached(const State& state, const RunState& run, const v1::RankPlace& place,
                v1::RankPhase phase) {
  const v1::RankReport* rank = RankOf(state, state.hard.leases.at(run.lease), place);
  return rank != nullptr && rank->run_id() == run.id.value && rank->attempt() == run.attempt &&
         rank->phase() >= phase && IsAlive(rank->phase());
}

bool IsBystander(const v1::RankReport& rank) {
  return rank.phase() == v1::RANK_PHASE_FAILED && !rank.failure().has_rank();
}

std::vector<const v1::RankPlace*> Laggards(const LeaseState& lease, const RankQuestion& question) {
  std::vector<const v1::RankPlace*> laggards;
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    if (!question(place)) laggards.push_back(&place);
  }
  return laggards;
}

bool GotOn(const v1::Report& before, const v1::Report& report, LeaseId lease, RunId run) {
  using Said = std::pair<v1::RankPhase, uint64_t>;
  const auto all = [&](const v1::Report& from) {
    std::map<std::pair<uint32_t, uint32_t>, Said> said;  // by rank and attempt
    for (const v1::LeaseReport& candidate : from.leases()) {
      if (candidate.lease_id() != lease.value) continue;
      for (const v1::RankReport& rank : candidate.ranks()) {
        if (rank.run_id() != run.value) continue;
        said[{rank.rank(), rank.attempt()}] = {rank.phase(), rank.progress()};
      }
    }
    return said;
  };
  return all(before) != all(report);
}

bool SameDevices(const v1::Report& a, const v1::Report& b) {
  if (a.devices_size() != b.devices_size()) return false;
  for (int i = 0; i < a.devices_size(); ++i) {
    if (a.devices(i).index() != b.devices(i).index() ||
        a.devices(i).lease_id() != b.devices(i).lease_id() ||
        a.devices(i).healthy() != b.devices(i).healthy()) {
      return false;
    }
  }
  return true;
}

bool SameWork(const v1::Report& a, const v1::Report& b) {
  if (a.leases_size() != b.leases_size() || a.streams_size() != b.streams_size()) return false;
  for (int i = 0; i < a.leases_size(); ++i) {
    if (!SameLease(a.leases(i), b.leases(i))) return false;
  }
  for (int i = 0; i < a.streams_size(); ++i) {
    if (!SameStream(a.streams(i), b.streams(i))) return false;
  }
  return SameDevices(a, b);
}

std::set<NodeId> NodesOf(const v1::Placement& placement) {
  std::set<NodeId> nodes;
  for (const v1::RankPlace& place : placement.ranks()) {
    nodes.insert(nodes.end(), NodeId{place.node_id()});  // ranks are in the order of their nodes
  }
  return nodes;
}

Drained DrainOf(const State& state, const LeaseState& lease, const RunState& run) {
  Drained drained;
  std::set<uint64_t> nodes;  // whose own stream, named by their lowest rank, was looked at
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    const bool first_of_node = nodes.insert(place.node_id()).second;
    const v1::Report* report = ReportOf(state, NodeId{place.node_id()});
    const v1::StreamReport* of_rank = nullptr;
    const v1::StreamReport* of_node = nullptr;
    if (report != nullptr) {
      of_rank = StreamOf(*report, run, v1::STREAM_KIND_RANK, place.rank());
      of_node = StreamOf(*report, run, v1::STREAM_KIND_NODE, place.rank());
    }
    const auto is_over = [&](const v1::StreamReport* stream) {
      if (stream == nullptr) return false;
      // What was dropped is only known for good when the worker says that the stream is closed.
      if (stream->refused().empty()) {
        return stream->drained() || (stream->closed() && IsStored(state, *stream));
      }
      if (!drained.refused) drained.refused = {place.node(), stream->refused()};
      return true;
    };
    bool done = is_over(of_rank);
    if (first_of_node) done = is_over(of_node) && done;
    if (!done) drained.waiting.push_back(&place);
    if (of_rank == nullptr || of_rank->dropped_results() == 0) continue;
    if (drained.dropped_results == 0) drained.dropped_node = place.node();
    drained.dropped_results += of_rank->dropped_results();
  }
  drained.all = drained.waiting.empty();
  return drained;
}

bool HasFreed(const State& state, const LeaseState& lease, NodeId node, Nanos now) {
  if (lease.phase != v1::LEASE_PHASE_RELEASING) return false;
  if (SilenceOf(state, node, now) >= state.config.release_after) return true;
  return HasReadTheEnd(state, lease, node) && !HoldsDevices(state, lease, node, true);
}

bool HasLostDevices(const State& state, const LeaseState& lease, NodeId node, Nanos now) {
  return lease.phase == v1::LEASE_PHASE_RELEASING && now >= ReleaseEnd(state, lease) &&
         HasReadTheEnd(state, lease, node) && !HoldsDevices(state, lease, node, false);
}

}  // namespace rackmark
