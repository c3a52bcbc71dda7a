#include "coordinator/core/planner.h"

#include <algorithm>

#include "coordinator/core/budget.h"
#include "coordinator/core/observe.h"
#include "coordinator/core/queue.h"
#include "coordinator/core/schedules.h"
#include "coordinator/core/state.h"
#include "coordinator/core/timers.h"
#include "coordinator/core/yield.h"

namespace rackmark {
namespace {

constexpr Nanos kEstimateMax = Nanos{3650} * 24 * 3600 * kSecond;  // more is for ever

Nanos Sum(std::initializer_list<Nanos> durations) {
  Nanos sum = 0;
  for (const Nanos duration : durations) {
    sum += std::clamp<Nanos>(duration, 0, kEstimateMax / 8);
  }
  return sum;
}

// Of the runs that wait, one after the other.
Nanos QueuedTime(const State& state, const JobState& job) {
  const v1::Limits& limits = job.job.spec().limits();
  const Nanos each = Sum({limits.prepare_ns(), limits.measure_ns(), limits.drain_ns()});
  const RunId last{job.first_run.value + static_cast<uint64_t>(job.job.spec().runs_size())};
  Nanos queued = 0;
  for (auto run = state.hard.runs.lower_bound(job.first_run);
       run != state.hard.runs.end() && run->first < last; ++run) {
    if (run->second.phase == v1::RUN_PHASE_QUEUED) ++queued;
  }
  return each == 0 || queued < kEstimateMax / each ? queued * each : kEstimateMax;
}

// When the phase that it is in is over at the latest.
Nanos PresentEnd(const State& state, const JobState& job, const LeaseState& lease) {
  const v1::Limits& limits = job.job.spec().limits();
  const Nanos since = LeaseClock(state, lease).since;
  if (lease.phase != v1::LEASE_PHASE_ACTIVE) return since + Sum({limits.setup_ns()});
  Nanos end = since;
  for (const std::optional<RunId>& id : {lease.draining, lease.run}) {
    if (!id.has_value()) continue;
    const RunState& run = state.hard.runs.at(*id);
    Nanos left = Sum({limits.drain_ns()});
    if (run.phase == v1::RUN_PHASE_PREPARING) left += Sum({limits.prepare_ns()});
    if (run.phase != v1::RUN_PHASE_DRAINING) left += Sum({limits.measure_ns()});
    end = std::max(end, RunClock(state, run).since + left);
  }
  return end;
}

Nanos ReleasedAt(const State& state, const LeaseState& lease) {
  const auto released = state.soft.release_since.find(lease.id);
  return released == state.soft.release_since.end() ? LeaseClock(state, lease).since
                                                    : released->second;
}

plan::LeaseFacts LeaseFactsOf(const State& state, const LeaseState& lease) {
  const JobState& job = state.hard.jobs.at(lease.job);
  plan::LeaseFacts facts;
  facts.id = lease.id;
  facts.priority = job.job.spec().priority();
  facts.exclusive = job.job.spec().gang().exclusive();
  facts.started = LeaseClock(state, lease).since;
  if (lease.phase == v1::LEASE_PHASE_RELEASING) {
    // Any moment now; but of one that nobody has given back for so long nobody knows when, and who
    // waits for it must not be taken for served.
    facts.yielding = state.soft.now < ReleaseEnd(state, lease);
    if (facts.yielding) facts.ends = ReleasedAt(state, lease);
    return facts;
  }
  facts.yielding = lease.yielding.has_value();
  const auto held_enough = LeaseMaxEnd(state, lease);
  facts.preemptible =
      job.job.spec().preemptible() || (held_enough.has_value() && state.soft.now >= *held_enough);
  Nanos ends = PresentEnd(state, job, lease);
  if (!facts.yielding) ends += QueuedTime(state, job);
  if (const auto end = BudgetEnd(state, job)) ends = std::min(ends, *end);
  // One that was spared when its grace was over goes when its run has ended.
  const auto grace = GraceEnd(state, lease);
  if (grace.has_value() && state.soft.now < *grace) ends = std::min(ends, *grace);
  facts.ends = ends;
  return facts;
}

plan::Readiness ReadinessOf(const State& state, const NodeState& node) {
  if (node.phase == v1::NODE_PHASE_LOST) return plan::Readiness::kLost;
  if (node.phase == v1::NODE_PHASE_SUSPECT) return plan::Readiness::kSilent;
  return ReportOf(state, node.id) == nullptr ? plan::Readiness::kUnreported
                                             : plan::Readiness::kReady;
}

// That of most of its devices that are in one; ties go to the first by name.
std::string DomainOf(const NodeState& node) {
  std::map<std::string, size_t> counts;
  for (const v1::Device& device : node.info.devices()) {
    if (!device.nvlink_domain().empty()) ++counts[device.nvlink_domain()];
  }
  const auto most =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? "" : most->first;
}

// Who has the node's devices, as the log says.
std::map<uint32_t, LeaseId> HoldersOn(const State& state, NodeId node) {
  std::map<uint32_t, LeaseId> holders;
  const auto seats = state.soft.planner.seats.find(node);
  if (seats == state.soft.planner.seats.end()) return holders;
  std::map<LeaseId, bool> freed;
  for (const Planner::Seat& seat : seats->second) {
    const auto lease = state.hard.leases.find(seat.lease);
    if (lease == state.hard.leases.end()) continue;  // it has ended in this turn
    const auto [known, fresh] = freed.try_emplace(seat.lease);
    if (fresh) known->second = HasFreed(state, lease->second, node, state.soft.now);
    if (!known->second) holders.try_emplace(seat.device, seat.lease);
  }
  return holders;
}

void SetRunning(Planner& planner, const std::string& owner, uint64_t before, uint64_t cost) {
  uint64_t& running = planner.running[owner];
  running = running - before + cost;
  if (running == 0) planner.running.erase(owner);
}

void TellOwner(State& state, const std::string& owner) {
  Planner& planner = state.soft.planner;
  const auto usage = state.hard.usage.find(owner);
  const auto running = planner.running.find(owner);
  plan::Ledger::Entry entry;
  if (usage != state.hard.usage.end()) {
    entry.used = usage->second.used;
    entry.tick = usage->second.tick;
  }
  if (running != planner.running.end()) entry.committed = running->second;
  planner.ledger.Restore(owner, entry);
}

// True if it had devices until now.
bool DropLease(State& state, LeaseId id) {
  Planner& planner = state.soft.planner;
  const auto told = planner.leases.find(id);
  bool freed = false;
  if (const auto slot = planner.fleet.FindLease(id)) {
    for (const plan::Fleet::Where where : planner.fleet.leases()[*slot].seats) {
      planner.marked_nodes.insert(planner.fleet.nodes()[where.node].id);
      freed = true;
    }
    planner.fleet.Free(id);
  }
  if (told == planner.leases.end()) return freed;
  for (const NodeId node : told->second.nodes) {
    std::set<Planner::Seat>& seats = planner.seats[node];
    std::erase_if(seats, [&](const Planner::Seat& seat) { return seat.lease == id; });
    if (seats.empty()) planner.seats.erase(node);
    planner.marked_nodes.insert(node);
  }
  const std::string owner = told->second.owner;
  SetRunning(planner, owner, told->second.cost, 0);
  planner.leases.erase(told);
  TellOwner(state, owner);
  return freed;
}

// True if its devices are free now, or on their way and were not, or the other way round.
bool TellLease(State& state, LeaseId id) {
  Planner& planner = state.soft.planner;
  const auto found = state.hard.leases.find(id);
  if (found == state.hard.leases.end()) return DropLease(state, id);
  const LeaseState& lease = found->second;
  const plan::LeaseFacts facts = LeaseFactsOf(state, lease);
  const auto slot = planner.fleet.FindLease(id);
  const bool turned =
      slot.has_value() && planner.fleet.leases()[*slot].facts.yielding != facts.yielding;
  planner.fleet.SetLease(facts);
  const auto [told, fresh] = planner.leases.try_emplace(id);
  if (fresh) {
    told->second.job = lease.job;
    told->second.owner = state.hard.jobs.at(lease.job).by.name();
    told->second.nodes = NodesOf(lease.placement);
    for (const v1::RankPlace& place : lease.placement.ranks()) {
      planner.seats[NodeId{place.node_id()}].insert({place.device(), id});
    }
    planner.marked_nodes.insert(told->second.nodes.begin(), told->second.nodes.end());
  }
  const auto devices = static_cast<uint32_t>(lease.placement.ranks_size());
  const Nanos ends = facts.ends.value_or(ReleasedAt(state, lease));
  const uint64_t cost = plan::CostOf(devices, ends - facts.started);
  SetRunning(planner, told->second.owner, told->second.cost, cost);
  told->second.cost = cost;
  TellOwner(state, told->second.owner);
  return turned;
}

plan::GangRequest ChosenRequest(const State& state, const JobState& job) {
  plan::GangRequest request = RequestOf(job.job.spec().gang());
  if (job.avoid.empty()) return request;
  plan::GangRequest elsewhere = request;
  // What is not placeable need not be avoided: after an outage each of many jobs would ask for
  // something else, and mean the same.
  for (const NodeId id : job.avoid) {
    const plan::Fleet::Node* node = state.soft.planner.fleet.Find(id);
    const bool placeable = node != nullptr && node->Placeable(request.selector.quarantined);
    if (placeable) elsewhere.selector.avoid.push_back(id);
  }
  if (elsewhere.selector.avoid.empty()) return request;
  // Only as long as the nodes that are in use leave it another place, now or when others end.
  const bool possible = plan::CouldFit(state.soft.planner.fleet, elsewhere, plan::Assume::kFreed);
  return possible ? elsewhere : request;
}

// The most that has changed of any of those that are marked.
plan::NodeChange TellNodes(State& state) {
  Planner& planner = state.soft.planner;
  plan::NodeChange most = plan::NodeChange::kNothing;
  for (const NodeId id : std::exchange(planner.marked_nodes, {})) {
    const auto node = state.hard.nodes.find(id);
    if (node == state.hard.nodes.end()) {
      planner.fleet.DropNode(id);
      most = plan::NodeChange::kFacts;
    } else {
      most = std::max(most, planner.fleet.SetNode(PlanNode(state, node->second)));
    }
  }
  return most;
}

// True if the queue is another one.
bool TellJob(State& state, JobId id) {
  Planner& planner = state.soft.planner;
  const plan::TicketId ticket_id{id.value};
  const plan::WaitingQueue::Entry* known = planner.queue.Find(ticket_id);
  const auto found = state.hard.jobs.find(id);
  planner.choosy.erase(id);
  planner.spans.erase(id);
  if (found != state.hard.jobs.end() && !found->second.lease.has_value()) {
    const auto closure = ClosureOf(state, found->second);
    if (closure.has_value()) planner.spans[id] = {state.soft.wall, closure->until};
  }
  if (found == state.hard.jobs.end() || !WantsGang(state, found->second)) {
    planner.queue.Remove(ticket_id);
    return known != nullptr;
  }
  const JobState& job = found->second;
  if (!job.avoid.empty()) planner.choosy.insert(id);
  plan::Ticket ticket;
  ticket.id = ticket_id;
  ticket.owner = job.by.name();
  ticket.priority = job.job.spec().priority();
  ticket.submitted = job.submitted_unix_ns;
  ticket.budget = EstimateOf(state, job);
  ticket.preemptible = job.job.spec().preemptible() || job.job.spec().has_lease_max_ns();
  ticket.request = ChosenRequest(state, job);
  if (known != nullptr && known->ticket.budget == ticket.budget &&
      known->ticket.request == ticket.request) {
    return false;
  }
  planner.queue.Add(ticket);
  return true;
}

}  // namespace

plan::GangRequest RequestOf(const v1::Gang& gang) {
  plan::GangRequest request;
  request.selector.kind = gang.kind();
  request.selector.models.assign(gang.models().begin(), gang.models().end());
  request.selector.labels.insert(gang.labels().begin(), gang.labels().end());
  request.selector.nodes.assign(gang.nodes().begin(), gang.nodes().end());
  std::sort(request.selector.nodes.begin(), request.selector.nodes.end());
  request.selector.quarantined = gang.quarantined();
  request.devices = gang.devices();
  if (gang.has_per_node()) request.per_node = gang.per_node();
  switch (gang.within()) {
    case v1::WITHIN_NODE: request.within = plan::Within::kNode; break;
    case v1::WITHIN_NVLINK_DOMAIN: request.within = plan::Within::kDomain; break;
    case v1::WITHIN_RACK: request.within = plan::Within::kRack; break;
    default: request.within = plan::Within::kCluster; break;
  }
  request.preferred = gang.preferred();
  request.exclusive = gang.exclusive();
  return request;
}

Nanos EstimateOf(const State& state, const JobState& job) {
  const v1::Gang& gang = job.job.spec().gang();
  const uint32_t nodes = gang.per_node() > 0 ? gang.devices() / gang.per_node() : 1;
  const Nanos limits = Sum({job.job.spec().limits().setup_ns()}) + QueuedTime(state, job);
  return std::min(limits, BudgetLeft(job, nodes).value_or(limits));
}

std::string WhyUnused(const NodeState& node, uint32_t index) {
  for (const v1::Device& device : node.info.devices()) {
    if (device.index() != index || device.kind() != v1::DEVICE_KIND_GPU) continue;
    const std::string domain = DomainOf(node);
    if (device.nvlink_domain() == domain) return "";
    const std::string own =
        device.nvlink_domain().empty() ? "none" : absl::StrCat("\"", device.nvlink_domain(), "\"");
    return absl::StrCat("its NVLink domain is ", own, ", that of its node is \"", domain, "\"");
  }
  return "";
}

plan::NodeFacts PlanNode(const State& state, const NodeState& node) {
  plan::NodeFacts facts;
  facts.id = node.id;
  facts.name = node.info.name();
  facts.domain = DomainOf(node);
  facts.rack = node.info.rack();
  facts.labels.insert(node.info.labels().begin(), node.info.labels().end());
  facts.readiness = ReadinessOf(state, node);
  facts.cordoned = node.cordoned;
  facts.quarantined = node.standing == v1::STANDING_QUARANTINED;
  const std::map<uint32_t, LeaseId> holders = HoldersOn(state, node.id);
  std::map<uint32_t, const v1::DeviceReport*> said;
  if (const v1::Report* report = ReportOf(state, node.id)) {
    for (const v1::DeviceReport& device : report->devices()) said[device.index()] = &device;
  }
  for (const v1::Device& device : node.info.devices()) {
    const auto word = said.find(device.index());
    const auto holder = holders.find(device.index());
    plan::DeviceFacts& fact = facts.devices.emplace_back();
    fact.index = device.index();
    fact.kind = device.kind();
    fact.model = device.model();
    fact.healthy = word != said.end() && word->second->healthy();
    const bool stray =
        device.kind() == v1::DEVICE_KIND_GPU && device.nvlink_domain() != facts.domain;
    if (stray) fact.healthy = false;
    if (holder != holders.end()) {
      fact.holder = holder->second;
    } else if (word != said.end()) {
      fact.holder = LeaseId{word->second->lease_id()};
    }
  }
  return facts;
}

void MarkJob(State& state, JobId job) { state.soft.planner.marked_jobs.insert(job); }

bool RefreshPlanner(State& state) {
  Planner& planner = state.soft.planner;
  for (const auto& [id, span] : planner.spans) {
    const bool holds = state.soft.wall >= span.from && state.soft.wall < span.until;
    if (!holds) planner.marked_jobs.insert(id);
  }
  const std::set<JobId> jobs = std::exchange(planner.marked_jobs, {});
  for (const JobId id : jobs) {
    const auto job = state.hard.jobs.find(id);
    if (job == state.hard.jobs.end()) continue;
    planner.marked_leases.insert(job->second.leases.begin(), job->second.leases.end());
  }
  bool leases = false;
  for (const LeaseId id : std::exchange(planner.marked_leases, {})) {
    leases = TellLease(state, id) || leases;
  }
  const plan::NodeChange nodes = TellNodes(state);
  bool queue = false;
  for (const JobId id : jobs) queue = TellJob(state, id) || queue;
  if (nodes == plan::NodeChange::kFacts) {
    // Where there is another place for them may have changed; who holds what does not matter.
    const std::set<JobId> choosy = planner.choosy;
    for (const JobId id : choosy) queue = TellJob(state, id) || queue;
  }
  return queue || leases || nodes != plan::NodeChange::kNothing;
}

void RebuildPlanner(State& state) {
  Planner& planner = state.soft.planner = Planner{};
  for (const auto& [owner, usage] : state.hard.usage) TellOwner(state, owner);
  for (const auto& [id, lease] : state.hard.leases) planner.marked_leases.insert(id);
  for (const auto& [id, node] : state.hard.nodes) planner.marked_nodes.insert(id);
  for (const auto& [id, job] : state.hard.jobs) planner.marked_jobs.insert(id);
  RefreshPlanner(state);
}

}  // namespace rackmark
