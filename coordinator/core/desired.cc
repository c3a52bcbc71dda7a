#include "coordinator/core/desired.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "coordinator/core/hold.h"
#include "coordinator/core/observe.h"

namespace rackmark {
namespace {

// Equal contents have equal bytes, maps included.
std::string Bytes(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

// All cards of the lease, for the node that has these ranks; nothing if one is not known. The name
// of the shared memory goes only to the host that can open it.
void AddCards(const State& state, const LeaseState& lease, NodeId receiver,
              v1::DesiredLease& desired) {
  std::vector<v1::AddressCard> cards;
  std::set<std::string> hosts;
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    if (!HasCard(state, lease, place)) return;
    cards.push_back(RankOf(state, lease, place)->card());
    if (place.node_id() == receiver.value) hosts.insert(cards.back().host_id());
  }
  for (v1::AddressCard& card : cards) {
    if (hosts.count(card.host_id()) == 0) {
      card.clear_shm_name();
      card.clear_shm_nonce();
    }
    *desired.add_cards() = std::move(card);
  }
  desired.set_go(true);
}

void AddRun(const State& state, const LeaseState& lease, v1::DesiredLease& desired) {
  const RunState& run = state.hard.runs.at(*lease.run);
  v1::DesiredRun* wanted = desired.mutable_run();
  wanted->set_run_id(run.id.value);
  wanted->set_attempt(run.attempt);
  wanted->set_goal(run.phase == v1::RUN_PHASE_PREPARING ? v1::RUN_GOAL_PREPARED
                                                        : v1::RUN_GOAL_DONE);
  *wanted->mutable_spec() = SpecOf(state.hard, run);
  if (run.attempt > 1 && wanted->spec().has_null()) {
    wanted->mutable_spec()->mutable_null()->clear_hold();
  }
}

void AddLease(const State& state, const LeaseState& lease, NodeId node, v1::DesiredState& content) {
  v1::DesiredLease& desired = *content.add_leases();
  desired.set_lease_id(lease.id.value);
  desired.set_generation(lease.generation);
  desired.set_job_id(lease.job.value);
  desired.set_world_size(static_cast<uint32_t>(lease.placement.ranks_size()));
  desired.set_kind(state.hard.jobs.at(lease.job).job.spec().gang().kind());
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    if (place.node_id() != node.value) continue;
    v1::DesiredRank* rank = desired.add_ranks();
    rank->set_rank(place.rank());
    rank->set_device(place.device());
  }
  if (lease.phase == v1::LEASE_PHASE_RENDEZVOUS) AddCards(state, lease, node, desired);
  if (lease.phase == v1::LEASE_PHASE_ACTIVE) desired.set_go(true);
  if (lease.run.has_value()) AddRun(state, lease, desired);
  if (const v1::Hold* hold = RankHold(state, lease)) *desired.mutable_hold() = *hold;
}

// Remembers for each lease the version in which it came or went.
void NoteFlips(const HardState& hard, const v1::DesiredState& before, SoftNode& soft) {
  std::set<LeaseId> had, has;
  for (const v1::DesiredLease& lease : before.leases()) had.insert(LeaseId{lease.lease_id()});
  for (const v1::DesiredLease& lease : soft.desired.leases()) has.insert(LeaseId{lease.lease_id()});
  for (LeaseId lease : had) {
    if (has.count(lease) == 0) soft.desired_since[lease] = soft.desired.version();
  }
  for (LeaseId lease : has) {
    if (had.count(lease) == 0) soft.desired_since[lease] = soft.desired.version();
  }
  for (auto it = soft.desired_since.begin(); it != soft.desired_since.end();) {
    it = hard.leases.count(it->first) == 0 ? soft.desired_since.erase(it) : std::next(it);
  }
}

}  // namespace

v1::DesiredState DesiredFor(const State& state, NodeId node) {
  v1::DesiredState content;
  const auto found = state.hard.nodes.find(node);
  if (found == state.hard.nodes.end()) return content;
  for (LeaseId id : found->second.leases) {
    const LeaseState& lease = state.hard.leases.at(id);
    if (lease.phase == v1::LEASE_PHASE_RELEASING || HeldUntil(state, lease)) continue;
    AddLease(state, lease, node, content);
  }
  return content;
}

const v1::DesiredState& DesiredOf(const State& state, NodeId node) {
  const auto found = state.soft.nodes.find(node);
  return found == state.soft.nodes.end() ? v1::DesiredState::default_instance()
                                         : found->second.desired;
}

std::set<NodeId> RefreshDesired(State& state, const std::set<NodeId>& nodes) {
  std::set<NodeId> changed;
  for (NodeId node : nodes) {
    SoftNode& soft = state.soft.nodes[node];
    const v1::DesiredState before = soft.desired;
    v1::DesiredState content = DesiredFor(state, node);
    content.set_version(before.version());
    if (before.version() != 0 && Bytes(content) == Bytes(before)) continue;
    content.set_version(before.version() + 1);
    soft.desired = std::move(content);
    NoteFlips(state.hard, before, soft);
    changed.insert(node);
  }
  return changed;
}

}  // namespace rackmark
