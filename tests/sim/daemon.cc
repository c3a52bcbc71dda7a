#include "tests/sim/daemon.h"

#include <algorithm>
#include <utility>

#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

// As in worker/daemon/daemon.cc and ranks.cc.
constexpr Nanos kBeat = kSecond;
constexpr Nanos kLeftoverPoll = 100 * kMillisecond;
constexpr Nanos kStall = 2 * kSecond;

Session::Options SessionOptions(const Machine& machine) {
  Session::Options options;
  options.boot_id = machine.info().boot_id();
  options.incarnation = absl::StrCat(options.boot_id, "/", machine.life());
  return options;
}

}  // namespace

SimDaemon::SimDaemon(World* world, Machine* machine)
    : world_(*world),
      machine_(*machine),
      session_(SessionOptions(*machine)),
      backoff_(world->random.Next()),
      heard_at_(world->now()) {
  state_.device_count = static_cast<uint32_t>(machine->info().devices_size());
  coordinator_ = static_cast<uint32_t>(world->random.Between(0, world->coordinators.size() - 1));
  if (world->knobs.plant == Plant::kForgottenRanks) return;
  for (const auto& [pid, rank] : machine->ranks()) {
    old_[pid] = {rank->device, rank->ref.lease_id};
  }
}

std::vector<ConnPtr> SimDaemon::Conns() const {
  std::vector<ConnPtr> conns;
  if (sync_) conns.push_back(sync_);
  if (samples_) conns.push_back(samples_);
  return conns;
}

void SimDaemon::Turn() {
  Fence();
  CheckLeftovers();
  CheckRanks();
  ReconcileAll();
  Beat();
  streams().Drop(state_, Clock());
  Dial();
  Push();
  SendReport();
  ScheduleWake();
}

void SimDaemon::LookAgain() {
  changed_ = true;
  Turn();
}

void SimDaemon::Woken() {
  Fence();
  CheckRanks();
}

void SimDaemon::Fence() {
  const bool plant = world_.knobs.plant == Plant::kNoFence;
  const bool fenced = !plant && session_.Fenced(Clock());
  if (fenced && !fenced_ && state_.AnyProcess()) {
    world_.Count("worker fenced itself");
    world_.trace.Line(world_.now(), Who::kWorker, machine_.index(), "fenced");
    for (const auto& [ref, live] : live_) {
      Fail(ref, v1::FAILURE_KIND_FENCED, "no answer of the coordinator");
      Kill(ref);
    }
  }
  fenced_ = fenced;
  state_.may_start = !fenced;
}

void SimDaemon::CheckLeftovers() {
  if (Clock() < leftovers_at_ || (leftovers_at_ != 0 && state_.leftovers.empty())) return;
  leftovers_at_ = Clock() + kLeftoverPoll;
  const size_t before = state_.leftovers.size();
  state_.leftovers.clear();
  for (const auto& [pid, held] : old_) {
    RankProcess* rank = machine_.Find(pid);
    if (rank == nullptr || !rank->alive()) continue;
    rank->Kill();
    state_.leftovers[held.first] = held.second;
  }
  changed_ = changed_ || before != state_.leftovers.size();
}

// Those that say nothing; time in which this daemon stood still does not count.
void SimDaemon::CheckRanks() {
  const Nanos now = Clock();
  const Nanos gap = now - turned_at_.value_or(now);
  turned_at_ = now;
  for (auto& [ref, live] : live_) {
    if (gap > kStall) live.heard_at += gap;
    const LocalRank* rank = Find(ref);
    const RankProcess* process = Process(ref);
    if (process != nullptr && process->speaks()) live.heard_at = now;
    if (rank == nullptr || rank->killed_at || now - live.heard_at < session_.fence()) continue;
    Fail(ref, v1::FAILURE_KIND_RANK_FAILED, "the rank's process said nothing");
    Kill(ref);
  }
}

void SimDaemon::Beat() {
  if (live_.empty() || Clock() < beat_at_) return;
  beat_at_ = Clock() + kBeat;
  for (const auto& [ref, live] : live_) {
    const LocalRank* rank = Find(ref);
    changed_ = changed_ || (rank != nullptr && rank->killed_at);  // may count as unkillable now
    RankProcess* process = Process(ref);
    if (fenced_ || process == nullptr) continue;
    world_.stats.frames += process->speaks() ? 2U : 1U;  // it says that it lives
    process->OnKeepAlive();
  }
}

void SimDaemon::ReconcileAll() {
  for (int pass = 0; pass < 4; ++pass) {
    const std::vector<Action> actions = Reconcile(session_.desired(), state_, Clock());
    if (actions.empty()) return;
    changed_ = true;
    for (const Action& action : actions) Do(action);
  }
}

LocalRank* SimDaemon::Find(const RankRef& ref) {
  const auto lease = state_.leases.find(ref.lease_id);
  if (lease == state_.leases.end()) return nullptr;
  const auto rank = lease->second.ranks.find(ref.rank);
  return rank == lease->second.ranks.end() ? nullptr : &rank->second;
}

RankProcess* SimDaemon::Process(const RankRef& ref) {
  const auto live = live_.find(ref);
  return live == live_.end() ? nullptr : machine_.Find(live->second.pid);
}

void SimDaemon::Do(const Action& action) {
  if (world_.knobs.plant == Plant::kKeptRanks && std::holds_alternative<StopRank>(action)) return;
  if (const auto* start = std::get_if<StartRank>(&action)) {
    StartOne(*start);
  } else if (const auto* connect = std::get_if<SendConnect>(&action)) {
    Find(connect->ref)->connect_sent = true;
    ++world_.stats.frames;
    if (RankProcess* process = Process(connect->ref)) process->OnConnect();
  } else if (const auto* run = std::get_if<SendRun>(&action)) {
    Tell(*run);
  } else if (const auto* stop = std::get_if<StopRank>(&action)) {
    Find(stop->ref)->stopping_since = Clock();
    ++world_.stats.frames;
    if (RankProcess* process = Process(stop->ref)) process->OnStop();
  } else if (const auto* kill = std::get_if<KillRank>(&action)) {
    Kill(kill->ref);
  } else if (const auto* forget = std::get_if<ForgetLease>(&action)) {
    state_.leases.erase(forget->lease_id);
  }
}

void SimDaemon::StartOne(const StartRank& start) {
  LocalLease& lease = state_.leases[start.ref.lease_id];
  lease.generation = start.generation;
  lease.world_size = start.world_size;
  LocalRank& rank = lease.ranks[start.ref.rank];
  rank.device = start.device;
  rank.pid = machine_.Start(start, session_.fence());
  live_[start.ref] = {rank.pid, Clock()};
}

void SimDaemon::Tell(const SendRun& action) {
  LocalRank* rank = Find(action.ref);
  const RunKey key{action.run.run_id(), action.run.attempt()};
  const bool fresh = !rank->told || RunKey{rank->told->run_id(), rank->told->attempt()} != key;
  rank->told = action.run;
  rank->told->clear_spec();
  if (fresh) streams().OnTold(state_, action.ref, key);
  ++world_.stats.frames;
  if (RankProcess* process = Process(action.ref)) process->OnRun(action.run);
}

v1::Failure SimDaemon::MakeFailure(const RankRef& ref, v1::FailureKind kind,
                                   const std::string& detail) {
  v1::Failure failure;
  failure.set_kind(kind);
  failure.set_rank(ref.rank);
  failure.set_node(machine_.info().name());
  failure.set_detail(detail);
  if (const LocalRank* rank = Find(ref)) {
    failure.set_device(rank->device);
    failure.set_phase(rank->phase);
  }
  return failure;
}

void SimDaemon::Fail(const RankRef& ref, v1::FailureKind kind, const std::string& detail) {
  LocalRank* rank = Find(ref);
  if (rank == nullptr || rank->failure) return;
  rank->failure = MakeFailure(ref, kind, detail);
  changed_ = true;
}

void SimDaemon::Kill(const RankRef& ref) {
  if (RankProcess* process = Process(ref)) process->Kill();
  LocalRank* rank = Find(ref);
  if (rank != nullptr && !rank->killed_at) rank->killed_at = Clock();
  changed_ = true;
}

void SimDaemon::Hear(const RankRef& ref, int pid, const RankFrame& frame) {
  const auto live = live_.find(ref);
  if (live == live_.end() || live->second.pid != pid) return;
  live->second.heard_at = Clock();
  changed_ = true;
  if (frame.samples) streams().OnSamples(ref, frame.run);
  if (frame.samples_end) streams().OnSamplesEnd(ref, frame.run);
  LocalRank* rank = Find(ref);
  if (rank != nullptr) ++rank->progress;
  if (rank != nullptr && frame.phase != v1::RANK_PHASE_UNKNOWN) TakeStatus(ref, *rank, frame);
  Turn();
}

void SimDaemon::TakeStatus(const RankRef& ref, LocalRank& rank, const RankFrame& frame) {
  if (frame.phase == v1::RANK_PHASE_CARDED) {
    v1::AddressCard& card = rank.card.emplace();
    card.set_lease_id(ref.lease_id);
    card.set_generation(state_.leases[ref.lease_id].generation);
    card.set_rank(ref.rank);
    card.set_host_id(machine_.info().host_id());
    card.set_boot_id(machine_.info().boot_id());
  }
  if (rank.run != frame.run && rank.run.run_id != 0) streams().OnOver(ref, rank.run);
  const v1::RankPhase before = rank.phase;
  rank.run = frame.run;
  rank.phase = frame.phase;
  if (rank.phase == v1::RANK_PHASE_READY) rank.met = true;
  if (rank.phase == v1::RANK_PHASE_FAILED) {
    v1::Failure failure = MakeFailure(ref, v1::FAILURE_KIND_RANK_FAILED, "the rank failed");
    failure.set_phase(before);
    failure.clear_rank();
    failure.clear_device();
    if (frame.failure) failure.MergeFrom(*frame.failure);
    failure.set_node(machine_.info().name());
    if (failure.has_rank() && failure.rank() == ref.rank) failure.set_device(rank.device);
    rank.failure = std::move(failure);
  } else if (!rank.killed_at) {
    rank.failure.reset();
  }
  if (rank.phase == v1::RANK_PHASE_DONE && frame.run.run_id != 0) streams().OnOver(ref, frame.run);
}

void SimDaemon::Reap(const RankRef& ref, int pid) {
  const auto live = live_.find(ref);
  if (live == live_.end() || live->second.pid != pid) return;
  LocalRank* rank = Find(ref);
  if (rank != nullptr) {
    if (!rank->stopping_since && !rank->killed_at) {
      Fail(ref, v1::FAILURE_KIND_RANK_DIED, "the rank process ended");
    }
    if (rank->run.run_id != 0) streams().OnOver(ref, rank->run);
    if (rank->told) streams().OnOver(ref, {rank->told->run_id(), rank->told->attempt()});
    rank->phase = v1::RANK_PHASE_EXITED;
    rank->reaped = true;
  }
  live_.erase(ref);
  changed_ = true;
  Turn();
}

}  // namespace rackmark::sim
