// Turn: absorb, decide, apply, settle. All soft state is written here.
#include "coordinator/core/decide.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/hold.h"
#include "coordinator/core/observe.h"
#include "coordinator/core/record.h"

namespace rackmark {
namespace {

using v1::Event;

// Clocks of one machine drift against another's by less than this: an older exchange is trusted so
// much less, so that a better one replaces the best of long ago.
constexpr double kDrift = 50e-6;
// One wave per placed gang and per step of a job: far more is a loop of ours.
constexpr int kWavesMax = 1000000;

// The gap in which this process did not run is nobody's silence and no phase's time.
void ForgiveStall(State& state, Nanos now) {
  SoftState& soft = state.soft;
  const Nanos gap = now - soft.now;
  if (soft.boot_id.empty() || gap <= state.config.stall_after) return;
  for (auto& [lease, since] : soft.lease_since) since += gap;
  for (auto& [run, since] : soft.run_since) since += gap;
  for (auto& [lease, since] : soft.bystander_since) since += gap;
  soft.listening_since = now;
}

void NoteHold(State& state, const LeaseState& lease) {
  if (HeldUntil(state, lease)) state.soft.held_leases.insert(lease.id);
}

void NoteHold(State& state, const RunState& run) {
  const bool judging = run.phase == v1::RUN_PHASE_JUDGING;
  if (judging && HeldUntil(state, run)) state.soft.held_runs.insert(run.id);
}

bool IsTimed(v1::RunPhase phase) {
  return phase != v1::RUN_PHASE_QUEUED && phase != v1::RUN_PHASE_ENDED;
}

void BeginLeadership(State& state, const TakeLeadership& command, Nanos now) {
  state.soft = SoftState{};
  state.soft.now = now;
  state.soft.listening_since = now;
  state.soft.boot_id = command.boot_id;
  for (const auto& [id, node] : state.hard.nodes) state.soft.dirty_nodes.insert(id);
  // Stamps of their own, and not when listening began: each stall moves that to its end, so that on
  // a coordinator that stalls now and then no limit would ever be reached.
  for (const auto& [id, lease] : state.hard.leases) {
    state.soft.lease_since[id] = now;
    NoteHold(state, lease);
  }
  for (const auto& [id, run] : state.hard.runs) {
    if (IsTimed(run.phase)) state.soft.run_since[id] = now;
    NoteHold(state, run);
  }
}

void MarkLease(State& state, LeaseId id) {
  const auto lease = state.hard.leases.find(id);
  if (lease == state.hard.leases.end()) return;
  state.soft.dirty_nodes.merge(NodesOf(lease->second.placement));
}

// A phase was entered: its time starts now, and its nodes may have something else to do.
void EnterRun(State& state, uint64_t run_id, Nanos now) {
  const RunState& run = state.hard.runs.at(RunId{run_id});
  state.soft.run_since[run.id] = now;
  MarkLease(state, run.lease);
}

// The time to prepare counts from when the run before is out of the way: until then nobody can say
// what the ranks wait for.
void BeginPreparingAnew(State& state, uint64_t left, Nanos now) {
  const auto lease = state.hard.leases.find(state.hard.runs.at(RunId{left}).lease);
  if (lease == state.hard.leases.end() || !lease->second.run.has_value()) return;
  const RunState& run = state.hard.runs.at(*lease->second.run);
  if (run.phase == v1::RUN_PHASE_PREPARING) state.soft.run_since[run.id] = now;
}

void LeaveRun(State& state, uint64_t run_id) {
  const RunState& run = state.hard.runs.at(RunId{run_id});
  state.soft.run_since.erase(run.id);
  state.soft.stored.erase(run.id);
  MarkLease(state, run.lease);
}

void ForgetIncarnation(State& state, NodeId node) {
  SoftNode fresh;
  SoftNode& soft = state.soft.nodes[node];
  fresh.desired = std::move(soft.desired);
  fresh.desired_since = std::move(soft.desired_since);
  soft = std::move(fresh);
  state.soft.dirty_nodes.insert(node);
}

// The soft side of an event that has just been applied.
void Track(State& state, const Event& event, Nanos now) {
  state.soft.place_wanted = true;  // Any event may free a device, or a place in the queue.
  switch (event.change_case()) {
    case Event::kNodeJoined: ForgetIncarnation(state, NodeId{event.node_joined().node_id()}); break;
    case Event::kLeasePlaced:
      state.soft.lease_since[LeaseId{event.lease_placed().lease_id()}] = now;
      NoteHold(state, state.hard.leases.at(LeaseId{event.lease_placed().lease_id()}));
      MarkLease(state, LeaseId{event.lease_placed().lease_id()});
      break;
    case Event::kLeaseGo: MarkLease(state, LeaseId{event.lease_go().lease_id()}); break;
    case Event::kLeaseActive: MarkLease(state, LeaseId{event.lease_active().lease_id()}); break;
    case Event::kLeaseReleasing:
      MarkLease(state, LeaseId{event.lease_releasing().lease_id()});
      break;
    case Event::kLeaseEnded:
      state.soft.lease_since.erase(LeaseId{event.lease_ended().lease_id()});
      state.soft.bystander_since.erase(LeaseId{event.lease_ended().lease_id()});
      break;
    case Event::kRunPreparing: EnterRun(state, event.run_preparing().run_id(), now); break;
    case Event::kRunMeasuring: EnterRun(state, event.run_measuring().run_id(), now); break;
    case Event::kRunDraining: EnterRun(state, event.run_draining().run_id(), now); break;
    case Event::kRunRequeued: LeaveRun(state, event.run_requeued().run_id()); break;
    case Event::kRunJudging:
      EnterRun(state, event.run_judging().run_id(), now);
      BeginPreparingAnew(state, event.run_judging().run_id(), now);
      state.soft.stored.erase(RunId{event.run_judging().run_id()});
      NoteHold(state, state.hard.runs.at(RunId{event.run_judging().run_id()}));
      break;
    case Event::kRunJudged: LeaveRun(state, event.run_judged().run_id()); break;
    default: break;
  }
}

void ApplyAll(State& state, std::vector<Event> events, Nanos now, TurnResult& result) {
  for (Event& event : events) {
    if (event.has_job_ended()) result.ended.push_back(RecordEnded(state.hard, event));
    Apply(state.hard, event);
    Track(state, event, now);
    if (event.has_run_judging()) {
      const RunId run{event.run_judging().run_id()};
      if (state.soft.held_runs.count(run) == 0) result.judge.insert(run);
    }
    result.events.push_back(std::move(event));
  }
}

void AbsorbClock(const SoftState& cluster, const v1::Report& report, Nanos now, SoftNode& soft) {
  if (!report.has_exchange()) return;
  const v1::ClockExchange& x = report.exchange();
  if (x.coordinator_boot_id() != cluster.boot_id || x.worker_boot_id() != report.node().boot_id()) {
    return;
  }
  const Nanos there = x.coordinator_receive_ns() - x.worker_send_ns();
  const Nanos back = x.coordinator_send_ns() - x.worker_receive_ns();
  const Nanos round_trip = there - back;
  if (round_trip < 0) return;  // Stamps that contradict each other measure nothing.
  const Nanos uncertainty = round_trip / 2;
  if (soft.clock.has_value() && soft.clock->boot_id() == x.worker_boot_id()) {
    const double age = static_cast<double>(now - soft.clock_measured_at);
    if (uncertainty > soft.clock->uncertainty_ns() + static_cast<Nanos>(kDrift * age)) return;
  }
  v1::ClockOffset offset;
  offset.set_offset_ns(there / 2 + back / 2);
  offset.set_uncertainty_ns(uncertainty);
  offset.set_boot_id(x.worker_boot_id());
  soft.clock = offset;
  soft.clock_measured_at = now;
}

std::string CardsOf(const v1::Report& report, LeaseId lease) {
  std::string cards;
  for (const v1::LeaseReport& candidate : report.leases()) {
    if (candidate.lease_id() != lease.value) continue;
    for (const v1::RankReport& rank : candidate.ranks()) {
      cards += rank.card().SerializeAsString();
    }
  }
  return cards;
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

// After the Report of one of its nodes came.
void TrackBystanders(State& state, LeaseId id, Nanos now) {
  const LeaseState& lease = state.hard.leases.at(id);
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    const v1::RankReport* rank = RankOf(state, lease, place);
    if (rank == nullptr || !IsBystander(*rank)) continue;
    state.soft.bystander_since.try_emplace(id, now);
    return;
  }
  state.soft.bystander_since.erase(id);
}

void Absorb(State& state, const NodeReported& command, NodeId node, Nanos now) {
  SoftNode& soft = state.soft.nodes[node];
  const v1::Report& report = command.report;
  // A version of another epoch's desired state says nothing about ours.
  const uint64_t reflects =
      report.identity().epoch() == state.hard.epoch ? report.reflects_version() : 0;
  if (!soft.reported || soft.reflects != reflects || !SameDevices(soft.report, report)) {
    state.soft.place_wanted = true;
  }
  for (LeaseId id : state.hard.nodes.at(node).leases) {
    const bool connecting = state.hard.leases.at(id).phase == v1::LEASE_PHASE_RENDEZVOUS;
    if (connecting && CardsOf(soft.report, id) != CardsOf(report, id)) MarkLease(state, id);
  }
  AbsorbClock(state.soft, report, now, soft);
  soft.reported = true;
  soft.last_report = now;
  soft.stream = command.stream;
  soft.reflects = reflects;
  soft.report = report;
  for (LeaseId id : state.hard.nodes.at(node).leases) TrackBystanders(state, id, now);
}

// Of attempts that are at work; of others it changes nothing any more.
void Absorb(State& state, const StreamsStored& command) {
  for (const StreamsStored::Stream& stream : command.streams) {
    const auto run = state.hard.runs.find(stream.run);
    if (run == state.hard.runs.end() || run->second.attempt != stream.attempt) continue;
    const auto lease = state.hard.leases.find(run->second.lease);
    if (lease == state.hard.leases.end()) continue;
    const bool live = lease->second.run == stream.run || lease->second.draining == stream.run;
    const auto ranks = static_cast<uint32_t>(lease->second.placement.ranks_size());
    if (live && stream.stream < ranks) {
      state.soft.stored[stream.run].emplace(stream.kind, stream.stream);
    }
  }
}

// Jobs that the command can have moved; nullopt = any.
std::optional<std::set<JobId>> ScopeOf(const State& state, const Command& command,
                                       const Reply& reply) {
  std::set<JobId> jobs;
  const auto add_node = [&](NodeId node) {
    for (LeaseId id : state.hard.nodes.at(node).leases) {
      jobs.insert(state.hard.leases.at(id).job);
    }
  };
  if (const auto* heard = std::get_if<Heard>(&reply)) {
    add_node(heard->node);
  } else if (const auto* submitted = std::get_if<Submitted>(&reply)) {
    jobs.insert(submitted->job);
  } else if (const auto* cancel = std::get_if<CancelJob>(&command.body)) {
    jobs.insert(cancel->job);
  } else if (const auto* judge = std::get_if<JudgeRun>(&command.body)) {
    const auto run = state.hard.runs.find(judge->run);
    if (run != state.hard.runs.end()) jobs.insert(run->second.job);
  } else if (const auto* stored = std::get_if<StreamsStored>(&command.body)) {
    for (const StreamsStored::Stream& stream : stored->streams) {
      const auto run = state.hard.runs.find(stream.run);
      if (run != state.hard.runs.end()) jobs.insert(run->second.job);
    }
  } else {
    return std::nullopt;
  }
  return jobs;
}

void SettleAll(State& state, std::optional<std::set<JobId>> scope, Now now, TurnResult& result) {
  for (int wave = 0;; ++wave) {
    RACKMARK_CHECK(wave < kWavesMax);
    std::vector<Event> events = Settle(state, scope.has_value() ? &*scope : nullptr, now);
    if (events.empty()) break;
    if (scope.has_value() && events.front().has_lease_placed()) {
      scope->insert(JobId{events.front().lease_placed().job_id()});
    }
    ApplyAll(state, std::move(events), now.monotonic, result);
  }
  state.soft.place_wanted = false;
}

// Holds that are over: the workers are told of the lease, the run goes to the reporter.
void ReleaseHeld(State& state, TurnResult& result) {
  std::set<LeaseId>& leases = state.soft.held_leases;
  for (auto it = leases.begin(); it != leases.end();) {
    const auto lease = state.hard.leases.find(*it);
    const bool gone = lease == state.hard.leases.end();
    if (!gone && HeldUntil(state, lease->second)) {
      ++it;
      continue;
    }
    if (!gone) MarkLease(state, *it);
    it = leases.erase(it);
  }
  std::set<RunId>& runs = state.soft.held_runs;
  for (auto it = runs.begin(); it != runs.end();) {
    const auto run = state.hard.runs.find(*it);
    const bool judging = run != state.hard.runs.end() && run->second.phase == v1::RUN_PHASE_JUDGING;
    if (judging && HeldUntil(state, run->second)) {
      ++it;
      continue;
    }
    if (judging) result.judge.insert(*it);
    it = runs.erase(it);
  }
}

}  // namespace

absl::StatusOr<TurnResult> Turn(State& state, const Command& command, Now now) {
  RACKMARK_CHECK(state.soft.boot_id.empty() || now.monotonic >= state.soft.now);
  ForgiveStall(state, now.monotonic);
  state.soft.now = now.monotonic;
  auto decision = Decide(state, command, now);
  if (!decision.ok()) return decision.status();
  if (const auto* lead = std::get_if<TakeLeadership>(&command.body)) {
    BeginLeadership(state, *lead, now.monotonic);
  }
  TurnResult result;
  result.reply = decision->reply;
  const bool joined = !decision->events.empty() && decision->events.front().has_node_joined();
  ApplyAll(state, std::move(decision->events), now.monotonic, result);
  if (const auto* reported = std::get_if<NodeReported>(&command.body)) {
    const NodeId node = std::get<Heard>(result.reply).node;
    if (joined || !IsStale(state, node, *reported)) {
      Absorb(state, *reported, node, now.monotonic);
    }
  }
  if (const auto* stored = std::get_if<StreamsStored>(&command.body)) Absorb(state, *stored);
  SettleAll(state, ScopeOf(state, command, result.reply), now, result);
  ReleaseHeld(state, result);
  result.push = RefreshDesired(state, state.soft.dirty_nodes);
  state.soft.dirty_nodes.clear();
  return result;
}

std::vector<RunId> RunsToJudge(const State& state) {
  std::vector<RunId> runs;
  for (const auto& [id, run] : state.hard.runs) {
    const bool judging = run.phase == v1::RUN_PHASE_JUDGING;
    if (judging && state.soft.held_runs.count(id) == 0) runs.push_back(id);
  }
  return runs;
}

}  // namespace rackmark
