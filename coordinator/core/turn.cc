// Turn: absorb, decide, apply, settle. All soft state is written here.
#include <utility>

#include "coordinator/core/decide.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/emit.h"
#include "coordinator/core/hold.h"
#include "coordinator/core/observe.h"
#include "coordinator/core/quarantine.h"
#include "coordinator/core/queue.h"
#include "coordinator/core/record.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/suite.h"
#include "coordinator/core/suite_track.h"
#include "coordinator/core/timers.h"
#include "coordinator/core/yield.h"

namespace rackmark {
namespace {

using v1::Event;

// Clocks of one machine drift against another's by less than this: an older exchange is trusted so
// much less, so that a better one replaces the best of long ago.
constexpr double kDrift = 50e-6;
// One wave per placed gang and per step of a job: far more is a loop of ours, which must be found
// before it has filled the memory.
constexpr size_t kWavesOfEach = 50;
constexpr size_t kWavesMin = 10000;

// The gap in which this process did not run is nobody's silence and no phase's time.
bool ForgiveStall(State& state, Nanos now) {
  SoftState& soft = state.soft;
  const Nanos gap = now - soft.now;
  if (soft.boot_id.empty() || gap <= state.config.stall_after) return false;
  for (auto& [lease, since] : soft.lease_since) since += gap;
  for (auto& [run, since] : soft.run_since) since += gap;
  for (auto& [lease, since] : soft.bystander_since) since += gap;
  for (auto& [suite, since] : soft.suite_since) since += gap;
  for (auto& [run, since] : soft.progress_since) since += gap;
  for (auto& [lease, since] : soft.yield_since) since += gap;
  for (auto& [lease, since] : soft.release_since) since += gap;
  soft.listening_since = now;
  return true;
}

// All stamps have moved.
void LookAtAllAnew(State& state) {
  for (const auto& [id, job] : state.hard.jobs) MarkJob(state, id);
  for (const auto& [id, node] : state.hard.nodes) {
    if (!node.leases.empty()) state.soft.planner.marked_nodes.insert(id);
  }
  IndexAll(state);
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

void BeginLeadership(State& state, const TakeLeadership& command, Now clocks) {
  const Nanos now = clocks.monotonic;
  state.soft = SoftState{};
  state.soft.now = now;
  state.soft.wall = clocks.wall;
  state.soft.listening_since = now;
  state.soft.boot_id = command.boot_id;
  for (const auto& [id, node] : state.hard.nodes) {
    state.soft.dirty_nodes.insert(id);
    if (!node.offences.empty()) state.soft.standing_wanted.insert(id);
  }
  // Stamps of their own, and not when listening began: each stall moves that to its end, so that on
  // a coordinator that stalls now and then no limit would ever be reached.
  for (const auto& [id, lease] : state.hard.leases) {
    state.soft.lease_since[id] = now;
    if (lease.yielding.has_value()) state.soft.yield_since[id] = now;
    if (lease.phase == v1::LEASE_PHASE_RELEASING) state.soft.release_since[id] = now;
    NoteHold(state, lease);
  }
  for (const auto& [id, run] : state.hard.runs) {
    if (IsTimed(run.phase)) state.soft.run_since[id] = now;
    if (run.phase == v1::RUN_PHASE_MEASURING) state.soft.progress_since[id] = now;
    NoteHold(state, run);
  }
  BeginSuites(state, now);
  RebuildPlanner(state);
  IndexAll(state);
  for (const auto& [id, job] : state.hard.jobs) state.soft.touched.insert(id);
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
  state.soft.progress_since.erase(run.id);
  if (run.phase == v1::RUN_PHASE_MEASURING) state.soft.progress_since[run.id] = now;
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
  state.soft.progress_since.erase(run.id);
  state.soft.stored.erase(run.id);
  MarkLease(state, run.lease);
}

void ForgetIncarnation(State& state, NodeId node) {
  SoftNode fresh;
  SoftNode& soft = state.soft.nodes[node];
  fresh.desired = std::move(soft.desired);
  fresh.desired_since = std::move(soft.desired_since);
  if (fresh.desired.version() == 0) fresh.desired.set_version(state.soft.versions_from);
  soft = std::move(fresh);
  state.soft.dirty_nodes.insert(node);
}

void NoteOffence(State& state, const v1::Failure& failure) {
  const auto node = state.hard.node_by_name.find(failure.node());
  if (node == state.hard.node_by_name.end() || !IsOffence(failure)) return;
  state.soft.standing_wanted.insert(node->second);
}

// More nodes were tested, one left quarantine, or serves again: the breaker may let another one in.
void AskBreakerAnew(State& state) {
  const std::set<NodeId>& holds = state.soft.breaker_holds;
  state.soft.standing_wanted.insert(holds.begin(), holds.end());
}

// Its name is free; versions go on, because a worker that was told of old ones may come back.
void ForgetNode(State& state, NodeId id) {
  SoftState& soft = state.soft;
  const auto node = soft.nodes.find(id);
  if (node != soft.nodes.end()) {
    soft.versions_from = std::max(soft.versions_from, node->second.desired.version() + 1);
    soft.nodes.erase(node);
  }
  soft.standing_wanted.erase(id);
  soft.breaker_holds.erase(id);
  soft.dirty_nodes.erase(id);
  soft.due_nodes.Set(id, std::nullopt);
  soft.planner.marked_nodes.insert(id);
  AskBreakerAnew(state);  // it counted as one of those in quarantine
}

// Settle has looked at them, and those that still belong into quarantine are held by the breaker.
void KeepHeld(State& state) {
  for (NodeId id : state.soft.standing_wanted) {
    const bool held = MustLeave(state, state.hard.nodes.at(id));
    if (held) state.soft.breaker_holds.insert(id);
    if (!held) state.soft.breaker_holds.erase(id);
  }
  state.soft.standing_wanted.clear();
}

// The soft side of an event that has just been applied.
void Track(State& state, const Event& event, Nanos now) {
  switch (event.change_case()) {
    case Event::kNodeJoined:
      ForgetIncarnation(state, NodeId{event.node_joined().node_id()});
      IndexNode(state, NodeId{event.node_joined().node_id()});
      AskBreakerAnew(state);
      break;
    case Event::kNodeChanged:
      IndexNode(state, NodeId{event.node_changed().node_id()});
      AskBreakerAnew(state);
      break;
    case Event::kNodeCordoned: AskBreakerAnew(state); break;
    case Event::kNodeForgotten: ForgetNode(state, NodeId{event.node_forgotten().node_id()}); break;
    case Event::kLeasePlaced:
      state.soft.lease_since[LeaseId{event.lease_placed().lease_id()}] = now;
      NoteHold(state, state.hard.leases.at(LeaseId{event.lease_placed().lease_id()}));
      MarkLease(state, LeaseId{event.lease_placed().lease_id()});
      break;
    case Event::kLeaseGo: MarkLease(state, LeaseId{event.lease_go().lease_id()}); break;
    case Event::kLeaseActive: MarkLease(state, LeaseId{event.lease_active().lease_id()}); break;
    case Event::kLeaseYielding:
      state.soft.yield_since[LeaseId{event.lease_yielding().lease_id()}] = now;
      break;
    case Event::kLeaseReleasing:
      state.soft.release_since[LeaseId{event.lease_releasing().lease_id()}] = now;
      MarkLease(state, LeaseId{event.lease_releasing().lease_id()});
      NoteOffence(state, event.lease_releasing().failure());
      break;
    case Event::kLeaseEnded:
      state.soft.lease_since.erase(LeaseId{event.lease_ended().lease_id()});
      state.soft.bystander_since.erase(LeaseId{event.lease_ended().lease_id()});
      state.soft.yield_since.erase(LeaseId{event.lease_ended().lease_id()});
      state.soft.release_since.erase(LeaseId{event.lease_ended().lease_id()});
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
    case Event::kRunJudged:
      LeaveRun(state, event.run_judged().run_id());
      AskBreakerAnew(state);
      break;
    case Event::kNodeStandingChanged: AskBreakerAnew(state); break;
    default: break;
  }
}

void ApplyAll(State& state, std::vector<Event> events, Nanos now, TurnResult& result) {
  for (Event& event : events) {
    if (event.has_job_ended()) result.ended.push_back(RecordEnded(state.hard, event));
    Apply(state.hard, event);
    Track(state, event, now);
    TrackSuites(state, event, now);
    MarkEvent(state, event, state.soft.touched);
    AddAffected(state.hard, event, state.soft.touched);
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

// After this node's Report. The whole gang is looked at only to see that no bystander is left.
void TrackBystanders(State& state, LeaseId id, NodeId node, Nanos now) {
  const LeaseState& lease = state.hard.leases.at(id);
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    if (place.node_id() != node.value && !state.soft.bystander_since.contains(id)) continue;
    const v1::RankReport* rank = RankOf(state, lease, place);
    if (rank == nullptr || !IsBystander(*rank)) continue;
    state.soft.bystander_since.try_emplace(id, now);
    return;
  }
  state.soft.bystander_since.erase(id);
}

// A rank got on: what it stalls by moves.
void TrackProgress(State& state, const v1::Report& before, const v1::Report& report, LeaseId id,
                   Nanos now) {
  const LeaseState& lease = state.hard.leases.at(id);
  if (!lease.run.has_value()) return;
  const auto since = state.soft.progress_since.find(*lease.run);
  if (since == state.soft.progress_since.end()) return;
  if (!GotOn(before, report, id, *lease.run)) {
    // A Report that says nothing new is what shows that it has stalled.
    const auto deadline = StallDeadline(state, state.hard.runs.at(*lease.run));
    if (deadline.has_value() && now >= *deadline) state.soft.touched.insert(lease.job);
    return;
  }
  since->second = now;
  IndexJob(state, lease.job);
}

// Most only say that the worker lives, and touch nothing but its silence. Takes the Report away.
void Absorb(State& state, NodeReported& command, NodeId node, Nanos now) {
  SoftNode& soft = state.soft.nodes[node];
  const v1::Report& report = *command.report;
  // A version of another epoch's desired state says nothing about ours.
  const uint64_t reflects =
      report.identity().epoch() == state.hard.epoch ? report.reflects_version() : 0;
  const bool moved =
      !soft.reported || soft.reflects != reflects || !SameDevices(*soft.report, report);
  if (moved) state.soft.planner.marked_nodes.insert(node);
  const bool worked = moved || !SameWork(*soft.report, report);
  const std::set<LeaseId>& leases = state.hard.nodes.at(node).leases;
  for (LeaseId id : leases) {
    TrackProgress(state, *soft.report, report, id, now);
    const bool connecting = state.hard.leases.at(id).phase == v1::LEASE_PHASE_RENDEZVOUS;
    if (connecting && CardsOf(*soft.report, id) != CardsOf(report, id)) MarkLease(state, id);
  }
  AbsorbClock(state.soft, report, now, soft);
  if (moved) NoteDevices(state, node, report);
  soft.reported = true;
  soft.last_report = now;
  soft.stream = command.stream;
  soft.reflects = reflects;
  std::swap(soft.report, command.report);
  IndexNode(state, node);
  for (LeaseId id : leases) {
    if (!worked) break;
    TrackBystanders(state, id, node, now);
    state.soft.touched.insert(state.hard.leases.at(id).job);
  }
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

// What became due touches its job: limits and graces, and the devices of nodes that are silent for
// good.
void TouchDue(State& state) {
  SoftState& soft = state.soft;
  soft.touched.merge(soft.due_jobs.DueBy(soft.now));
  for (const NodeId id : soft.due_nodes.DueBy(soft.now)) {
    const NodeState& node = state.hard.nodes.at(id);
    IndexNode(state, id);  // of a node that is lost, and has given back what it had, nothing is due
    if (node.phase != v1::NODE_PHASE_LOST) continue;
    soft.due_nodes.Set(id, std::nullopt);  // once: its gang may wait for other nodes for long
    soft.planner.marked_nodes.insert(id);
    for (const LeaseId lease : node.leases) soft.touched.insert(state.hard.leases.at(lease).job);
  }
}

// What else the command can have moved than its events and its Report.
void TouchCommand(State& state, const Command& command) {
  const auto touch = [&](RunId id) {
    const auto run = state.hard.runs.find(id);
    if (run != state.hard.runs.end()) state.soft.touched.insert(run->second.job);
  };
  if (const auto* judge = std::get_if<JudgeRun>(&command.body)) touch(judge->run);
  if (const auto* stored = std::get_if<StreamsStored>(&command.body)) {
    for (const StreamsStored::Stream& stream : stored->streams) touch(stream.run);
  }
  if (!std::holds_alternative<Tick>(command.body)) return;
  // Time by itself moves what suites wait for, and whether a victim would be told to go.
  state.soft.suites_wanted = true;
  state.soft.place_wanted = true;
}

// The gang that has a place now, or leases that make room for the first that has none.
std::vector<Event> AskQueue(State& state, Now now) {
  Planner& planner = state.soft.planner;
  if (RefreshPlanner(state)) {
    state.soft.place_wanted = true;
    TouchSpared(state);
  }
  if (planner.queue.size() == 0) {
    planner.last.reset();
    state.soft.place_wanted = false;
  }
  if (!state.soft.place_wanted || !MayLook(planner, now.monotonic)) return {};
  QueueLook look = LookAtQueue(state);
  planner.last = std::move(look.pass);
  if (look.events.empty()) {
    ++planner.vain_looks;
    state.soft.place_wanted = false;
  }
  Stamp(state.hard, CorePrincipal(), now, look.events);
  return std::move(look.events);
}

void SettleAll(State& state, Now now, TurnResult& result) {
  std::set<JobId> scope, seen;
  for (size_t wave = 0;; ++wave) {
    RACKMARK_CHECK(wave <
                   kWavesMin + kWavesOfEach * (state.hard.runs.size() + state.hard.leases.size()));
    for (const JobId id : state.soft.touched) MarkJob(state, id);
    scope.merge(std::exchange(state.soft.touched, {}));
    std::vector<Event> events = Settle(state, &scope, now);
    if (events.empty()) {
      seen.merge(std::exchange(scope, {}));  // at rest
      events = AskQueue(state, now);
    }
    if (events.empty() && state.soft.touched.empty()) break;
    ApplyAll(state, std::move(events), now.monotonic, result);
  }
  for (const JobId id : seen) IndexJob(state, id);
  RestSuites(state, now);
  KeepHeld(state);
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

absl::StatusOr<TurnResult> Turn(State& state, Command command, Now now) {
  RACKMARK_CHECK(state.soft.boot_id.empty() || now.monotonic >= state.soft.now);
  const bool stalled = ForgiveStall(state, now.monotonic);
  state.soft.now = now.monotonic;
  state.soft.wall = now.wall;
  if (stalled) LookAtAllAnew(state);
  auto decision = Decide(state, command, now);
  if (!decision.ok()) return decision.status();
  if (const auto* lead = std::get_if<TakeLeadership>(&command.body)) {
    BeginLeadership(state, *lead, now);
  }
  TurnResult result;
  result.reply = decision->reply;
  const bool joined = !decision->events.empty() && decision->events.front().has_node_joined();
  ApplyAll(state, std::move(decision->events), now.monotonic, result);
  if (auto* reported = std::get_if<NodeReported>(&command.body)) {
    const NodeId node = std::get<Heard>(result.reply).node;
    if (joined || !IsStale(state, node, *reported)) Absorb(state, *reported, node, now.monotonic);
  }
  if (const auto* stored = std::get_if<StreamsStored>(&command.body)) Absorb(state, *stored);
  TouchDue(state);
  TouchCommand(state, command);
  SettleAll(state, now, result);
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
