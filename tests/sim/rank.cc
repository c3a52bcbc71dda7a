#include "tests/sim/rank.h"

#include <algorithm>

#include "tests/sim/machine.h"
#include "tests/sim/world.h"

namespace rackmark::sim {

Gang& Gangs::Of(const RankProcess& rank) {
  Gang& gang = gangs_[{rank.ref.lease_id, rank.generation}];
  gang.world_size = rank.world_size;
  return gang;
}

void Gangs::Connect(RankProcess* rank) {
  Gang& gang = Of(*rank);
  gang.members[rank->ref.rank] = rank;
  if (gang.members.size() != gang.world_size) return;
  for (const auto& [index, member] : gang.members) member->Meet();
}

void Gangs::Enter(RankProcess* rank) {
  Gang& gang = Of(*rank);
  const RunKey run = rank->run();
  gang.entered[run].insert(rank->ref.rank);
  if (gang.broken) return rank->PeerIsGone();
  if (gang.entered[run].size() != gang.world_size) return;
  const Nanos jitter = world_.Between(0, 20 * kMillisecond);
  for (const auto& [index, member] : gang.members) member->Begin(jitter);
}

void Gangs::Leave(RankProcess* rank) {
  Gang& gang = Of(*rank);
  const auto found = gang.members.find(rank->ref.rank);
  if (found == gang.members.end() || found->second != rank) return;
  gang.members.erase(found);
  gang.broken = true;
  for (const auto& [index, member] : gang.members) member->PeerIsGone();
}

// What the process itself does: not while it is stopped, and not any more when it hangs.
template <typename Act>
void RankProcess::Later(Nanos min, Nanos max, Act act) {
  world_.timeline.After(world_.Between(min, max),
                        [this, exists = exists_, act = std::move(act)]() mutable {
                          if (!*exists || !alive_ || hung_) return;
                          if (stopped_) {
                            held_.emplace_back(std::move(act));
                          } else {
                            act();
                          }
                        });
}

RankProcess::RankProcess(World* world, Machine* on, const StartRank& start, Nanos dead_man)
    : ref(start.ref),
      generation(start.generation),
      world_size(start.world_size),
      device(start.device),
      machine(*on),
      world_(*world),
      dead_man_(dead_man),
      last_frame_(on->clock().Monotonic()) {
  WatchDaemon();
  Later(20 * kMillisecond, 800 * kMillisecond, [this] { Say(v1::RANK_PHASE_CARDED); });
}

Nanos RankProcess::Clock() const { return machine.clock().Monotonic(); }

void RankProcess::Send(RankFrame frame) {
  said_at_ = std::max(said_at_ + 1, world_.now() + world_.Between(20, 500) * kMicrosecond);
  machine.Hear(*this, std::move(frame), said_at_);
}

void RankProcess::Say(v1::RankPhase phase, std::optional<v1::Failure> failure) {
  phase_ = phase;
  world_.trace.Line(world_.now(), Who::kRank, static_cast<uint64_t>(pid), "phase",
                    static_cast<uint64_t>(phase), run_.run_id, run_.attempt);
  RankFrame frame;
  frame.phase = phase;
  frame.run = run_;
  frame.failure = std::move(failure);
  Send(std::move(frame));
}

// The dead-man timer (worker/rank/dead_man.h), which runs on a thread of its own.
void RankProcess::WatchDaemon() {
  const Nanos at = machine.clock().When(last_frame_ + dead_man_);
  world_.timeline.At(at, [this, exists = exists_] {
    if (!*exists || !alive_) return;
    if (Clock() - last_frame_ <= dead_man_) return WatchDaemon();
    world_.Count("rank ended itself");
    if (!stopped_) return Die();
    held_.push_back([this] { Die(); });
  });
}

void RankProcess::OnConnect() {
  OnKeepAlive();
  Later(kMillisecond, 200 * kMillisecond, [this] { world_.gangs.Connect(this); });
}

void RankProcess::Meet() {
  Later(kMillisecond, 50 * kMillisecond, [this] {
    if (phase_ == v1::RANK_PHASE_CARDED) Say(v1::RANK_PHASE_READY);
  });
}

void RankProcess::OnRun(const v1::DesiredRun& run) {
  OnKeepAlive();
  const RunKey told{run.run_id(), run.attempt()};
  Later(0, kMillisecond, [this, told, goal = run.goal(), spec = run.spec()] {
    if (run_ != told) {
      run_ = told;
      duration_ = spec.null().duration_ns();
      goal_ = goal;
      Say(v1::RANK_PHASE_PREPARING);
      Later(kMillisecond, 500 * kMillisecond, [this, told] {
        if (run_ != told || phase_ != v1::RANK_PHASE_PREPARING) return;
        if (!world_.healed && world_.Chance(world_.knobs.rank_fails / 2)) {
          return FailBy(v1::FAILURE_KIND_RANK_FAILED);
        }
        world_.gangs.Of(*this).prepared[told].insert(ref.rank);
        world_.Tell([&](Checker& checker) { checker.RankPrepared(*this); });
        Say(v1::RANK_PHASE_PREPARED);
        Advance();
      });
    } else {
      goal_ = std::max(goal_, goal);
      Advance();
    }
  });
}

void RankProcess::Advance() {
  if (goal_ == v1::RUN_GOAL_DONE && phase_ == v1::RANK_PHASE_PREPARED) Measure();
}

void RankProcess::Measure() {
  Say(v1::RANK_PHASE_MEASURING);
  world_.Tell([&](Checker& checker) { checker.RankMeasures(*this); });
  world_.gangs.Enter(this);
}

void RankProcess::Begin(Nanos jitter) {
  const RunKey run = run_;
  for (Nanos at = kSecond; at < duration_; at += kSecond) {
    Later(at, at, [this, run] {
      if (run_ != run || phase_ != v1::RANK_PHASE_MEASURING) return;
      RankFrame frame;
      frame.run = run;
      frame.samples = true;
      Send(std::move(frame));
    });
  }
  Later(duration_ + jitter, duration_ + jitter, [this, run] { Finish(run); });
}

void RankProcess::Finish(RunKey run) {
  if (run_ != run || phase_ != v1::RANK_PHASE_MEASURING) return;
  Say(v1::RANK_PHASE_VERIFYING);
  Later(kMillisecond, 50 * kMillisecond, [this, run] {
    if (run_ != run || phase_ != v1::RANK_PHASE_VERIFYING) return;
    if (!world_.healed && world_.Chance(world_.knobs.rank_fails / 2)) {
      return FailBy(world_.Chance(0.3) ? v1::FAILURE_KIND_VERIFY : v1::FAILURE_KIND_RANK_FAILED);
    }
    RankFrame frame;
    frame.run = run;
    frame.samples = frame.samples_end = true;
    Send(std::move(frame));
    Say(v1::RANK_PHASE_DONE);
    if (world_.knobs.plant != Plant::kMeasuredTwice) return;
    Later(kMillisecond, kMillisecond, [this, run] {
      if (run_ == run) Measure();
    });
  });
}

void RankProcess::FailBy(v1::FailureKind kind) {
  v1::Failure failure;
  failure.set_kind(kind);
  failure.set_rank(ref.rank);
  failure.set_detail("drawn");
  world_.Count("rank failed");
  Say(v1::RANK_PHASE_FAILED, std::move(failure));
  RankFrame end;
  end.run = run_;
  end.samples_end = true;
  Send(std::move(end));
  world_.gangs.Leave(this);
}

void RankProcess::PeerIsGone() {
  Later(kMillisecond, 3 * kSecond, [this, run = run_] {
    const bool waits = phase_ == v1::RANK_PHASE_MEASURING && run_ == run;
    if (!waits) return;  // it will find out when it wants something of them
    v1::Failure failure;
    failure.set_kind(v1::FAILURE_KIND_RANK_FAILED);
    failure.set_detail("a peer has gone");
    Say(v1::RANK_PHASE_FAILED, std::move(failure));
    RankFrame end;
    end.run = run_;
    end.samples_end = true;
    Send(std::move(end));
  });
}

void RankProcess::OnStop() {
  OnKeepAlive();
  Later(kMillisecond, 300 * kMillisecond, [this] { Die(); });
}

void RankProcess::PipeEnded() {
  if (std::exchange(pipe_ended_, true)) return;
  // Its own thread sees that, also where the rank hangs.
  world_.timeline.After(world_.Between(0, 2 * kSecond), [this, exists = exists_] {
    if (!*exists || !alive_) return;
    if (!stopped_) return Die();
    held_.push_back([this] { Die(); });
  });
}

void RankProcess::Kill() {
  if (std::exchange(dying_, true)) return;
  // Mostly at once; now and then a driver holds it.
  const bool held = !world_.healed && world_.Chance(0.03);
  const Nanos after =
      held ? world_.Between(kSecond, 9 * kSecond) : world_.Between(kMillisecond, 30 * kMillisecond);
  world_.timeline.After(after, [this, exists = exists_] {
    if (*exists && alive_) Die();
  });
}

void RankProcess::Die() {
  alive_ = false;
  world_.trace.Line(world_.now(), Who::kRank, static_cast<uint64_t>(pid), "dies");
  world_.gangs.Leave(this);
  said_at_ = std::max(said_at_ + 1, world_.now());
  machine.Exited(this, said_at_);
}

void RankProcess::Vanish() {
  alive_ = false;
  world_.gangs.Leave(this);
}

void RankProcess::Stop() {
  stopped_ = true;
  world_.Count("rank stopped");
}

void RankProcess::Continue() {
  stopped_ = false;
  for (const auto& act : std::exchange(held_, {})) {
    if (alive_) act();
  }
}

}  // namespace rackmark::sim
