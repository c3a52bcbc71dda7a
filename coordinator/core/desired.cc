#include "coordinator/core/desired.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/gloo_card.h"
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

// The lease's ranks on the receiving node, and what all cards of the lease hold of Gloo.
struct Receiver {
  NodeId node;
  std::vector<uint32_t> ranks;
  std::set<std::string> hosts;  // that its ranks are on
  size_t gloo_bytes = 0;
  bool gloo = true;      // every rank offers it
  size_t most_here = 0;  // ranks of the node that has the most
};

// Missing if a card is not known yet.
std::optional<Receiver> ReceiverAt(const State& state, const LeaseState& lease, NodeId node) {
  Receiver receiver;
  receiver.node = node;
  std::map<uint64_t, size_t> ranks_of;
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    if (!HasCard(state, lease, place)) return std::nullopt;
    const v1::AddressCard& card = RankOf(state, lease, place)->card();
    receiver.gloo_bytes += card.gloo_addresses().size();
    receiver.gloo = receiver.gloo && !card.gloo_addresses().empty();
    receiver.most_here = std::max(receiver.most_here, ++ranks_of[place.node_id()]);
    if (place.node_id() != node.value) continue;
    receiver.ranks.push_back(place.rank());
    receiver.hosts.insert(card.host_id());
  }
  return receiver;
}

// Whole while all cards fit: a rank that gives up tells the others at their addresses. Of larger
// gangs the receiver's slice. None if it is of no use because one rank offers none, or if some node
// could not be sent its slice: all nodes must be told alike.
std::string GlooFor(const Receiver& receiver, const v1::AddressCard& card, size_t world) {
  constexpr size_t kWholeBytesMax = 2 << 20;
  constexpr size_t kSlicesBytesMax = 3 << 20;
  if (receiver.gloo_bytes <= kWholeBytesMax) return card.gloo_addresses();
  const size_t most = world * receiver.most_here * (kGlooAddressBytes + 4);
  if (!receiver.gloo || most > kSlicesBytesMax) return "";
  return SliceGlooCard(card.gloo_addresses(), world, card.rank(), receiver.ranks);
}

// Field by field: the addresses of a large gang are not copied for each node. The name of the
// shared memory goes only to the host that can open it.
v1::AddressCard CardFor(const Receiver& receiver, const v1::AddressCard& card, size_t world) {
  v1::AddressCard out;
  out.set_lease_id(card.lease_id());
  out.set_generation(card.generation());
  out.set_rank(card.rank());
  out.set_host_id(card.host_id());
  out.set_boot_id(card.boot_id());
  out.set_shm_device(card.shm_device());
  if (receiver.hosts.count(card.host_id()) != 0) {
    out.set_shm_name(card.shm_name());
    out.set_shm_nonce(card.shm_nonce());
  }
  out.set_nccl_unique_id(card.nccl_unique_id());
  out.set_gloo_addresses(GlooFor(receiver, card, world));
  out.set_channel_address(card.channel_address());
  out.set_channel_nonce(card.channel_nonce());
  return out;
}

// All cards of the lease, for the node that has these ranks; nothing if one is not known.
void AddCards(const State& state, const LeaseState& lease, NodeId node, v1::DesiredLease& desired) {
  const auto receiver = ReceiverAt(state, lease, node);
  if (!receiver) return;
  const auto world = static_cast<size_t>(lease.placement.ranks_size());
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    *desired.add_cards() = CardFor(*receiver, RankOf(state, lease, place)->card(), world);
  }
  desired.set_go(true);
}

void AddRun(const State& state, const RunState& run, v1::DesiredLease& desired) {
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
  if (const auto run = ToldRun(lease)) AddRun(state, state.hard.runs.at(*run), desired);
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

bool KnowsDesired(const State& state, NodeId node) {
  const auto found = state.soft.nodes.find(node);
  if (found == state.soft.nodes.end()) return false;
  const SoftNode& soft = found->second;
  return soft.reflects != 0 && soft.reflects == soft.desired.version();
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
