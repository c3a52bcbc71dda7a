#include "tests/sim/coordinator.h"

#include <algorithm>
#include <utility>

#include "coordinator/core/decide.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/timers.h"
#include "rpc/identity.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

constexpr size_t kInboxMax = 16'384;
constexpr Nanos kLeadFor = 6 * kSecond;
constexpr Nanos kTryLeadEvery = 500 * kMillisecond;

SimClock MakeClock(World& world, uint32_t index) {
  const int64_t drift_max = world.knobs.drift_ppm;
  const int64_t drift = world.Between(0, 2 * drift_max) - drift_max;
  const Nanos base = world.Between(kSecond, 100'000 * kSecond);
  return {&world.timeline, base, drift, 1'790'000'000 * kSecond + index};
}

}  // namespace

SimCoordinator::SimCoordinator(World* world, uint32_t index)
    : world_(*world),
      timeline_(world->timeline),
      index_(index),
      clock_(MakeClock(*world, index)),
      boot_id_(absl::StrCat("coordinator-", index, "-boot")) {}

SimCoordinator::~SimCoordinator() = default;

void SimCoordinator::Start() {
  if (up_) return;
  up_ = true;
  stopped_ = false;
  ++life_;
  world_.trace.Line(world_.now(), Who::kCoordinator, index_, "starts", life_);
  if (world_.coordinators.size() == 1) return Lead(0);
  leadership_ = std::make_unique<MemoryLeadership>(&world_.disk.leader());
  TryLead();
}

void SimCoordinator::TryLead() {
  const auto term = leadership_->TryLead(clock_.Boottime(), kLeadFor);
  if (!term.ok() || !*term) return Later(kTryLeadEvery, [this] { TryLead(); });
  world_.Count("lead taken");
  Later(kLeadFor / 3, [this] { Renew(); });
  Lead(**term);
}

void SimCoordinator::Renew() {
  if (const absl::Status status = leadership_->Renew(clock_.Boottime()); !status.ok()) {
    return Die(status);
  }
  Later(kLeadFor / 3, [this] { Renew(); });
}

void SimCoordinator::Lead(uint64_t term) {
  events_ = world_.disk.OpenEvents(term);
  Turns::Options options;
  options.events = events_.get();
  options.clock = &clock_;
  options.snapshot_events = world_.knobs.snapshot_events;
  if (term != 0) {
    options.check_lead = [this] {
      return clock_.Boottime() < leadership_->leads_until()
                 ? absl::OkStatus()
                 : absl::FailedPreconditionError("the time of this lead is over");
    };
  }
  auto turns = std::make_unique<Turns>(std::move(options));
  const std::string incarnation = absl::StrCat(boot_id_, "/", life_);
  if (const absl::Status status = turns->Recover(boot_id_, incarnation); !status.ok()) {
    return Die(status);
  }
  turns_ = std::move(turns);
  world_.Count("coordinator leads");
  world_.trace.Line(world_.now(), Who::kCoordinator, index_, "leads", turns_->state().hard.epoch,
                    turns_->state().hard.last_seq);
  world_.Tell([&](Checker& checker) { checker.Recovered(turns_->state()); });
  turns_->AddListener(this);
  turns_->Begin();
  WaitForDue();
}

void SimCoordinator::Die(const absl::Status& why) {
  if (!up_) return;
  world_.trace.Line(world_.now(), Who::kCoordinator, index_, "dies",
                    static_cast<uint64_t>(why.code()));
  up_ = false;
  stopped_ = false;
  ++life_;
  // The caller may be inside of these: they go when it is back.
  world_.timeline.After(0, [turns = std::shared_ptr<Turns>(std::move(turns_)),
                            events = std::shared_ptr<EventStore>(std::move(events_))] {});
  leadership_.reset();
  inbox_.clear();
  held_.clear();
  batches_.clear();
  turn_wanted_ = false;
  busy_until_ = 0;
  for (const auto& [id, conn] : std::exchange(conns_, {})) {
    world_.network.CloseByCoordinator(conn, absl::UnavailableError("connection reset"));
  }
  streams_.clear();
  node_of_.clear();
  attached_.clear();
  version_sent_.clear();
  const Nanos back = world_.healed ? kSecond : world_.Between(kSecond / 5, 20 * kSecond);
  world_.timeline.After(back, [this] { Start(); });
}

void SimCoordinator::Kill() {
  if (!up_) return;
  world_.Count("coordinator killed");
  Die(absl::UnavailableError("SIGKILL"));
}

void SimCoordinator::StopProcess() {
  if (!up_ || stopped_) return;
  world_.Count("coordinator stopped");
  world_.trace.Line(world_.now(), Who::kCoordinator, index_, "stops");
  stopped_ = true;
  // Nobody answers the pings any more.
  world_.timeline.After(world_.Between(8, 15) * kSecond, [this, life = life_] {
    if (life_ != life || !stopped_) return;
    for (const auto& [id, conn] : conns_) world_.network.Break(conn);
  });
}

void SimCoordinator::ContinueProcess() {
  if (!up_ || !stopped_) return;
  world_.trace.Line(world_.now(), Who::kCoordinator, index_, "goes on");
  stopped_ = false;
  const uint64_t life = life_;
  for (const auto& act : std::exchange(held_, {})) {
    if (life_ == life) act();
  }
}

bool SimCoordinator::Push(Turns::Item item) {
  if (turns_ == nullptr || inbox_.size() >= kInboxMax) return false;
  inbox_.push_back(std::move(item));
  WantTurn();
  return true;
}

bool SimCoordinator::Post(Command command, Then then) {
  ++world_.stats.commands;
  return Push({std::move(command), std::move(then)});
}

// A little later, so that what comes meanwhile shares the transaction.
void SimCoordinator::WantTurn() {
  if (std::exchange(turn_wanted_, true)) return;
  const Nanos at = std::max(world_.now() + world_.Between(10, 300) * kMicrosecond, busy_until_);
  Later(at - world_.now(), [this] { RunTurn(); });
}

void SimCoordinator::RunTurn() {
  turn_wanted_ = false;
  std::vector<Turns::Item> items;
  while (!inbox_.empty() && items.size() < Turns::kItemsMax) {
    items.push_back(std::move(inbox_.front()));
    inbox_.pop_front();
  }
  const uint64_t life = life_;
  const absl::Status ran = turns_->Run(std::move(items));
  if (life_ != life) return;
  if (!ran.ok()) return Die(ran);
  const bool slow = !world_.healed && world_.knobs.slow_disk && world_.Chance(0.001);
  busy_until_ = world_.now() + (slow ? world_.Between(kSecond, 6 * kSecond) : 0);
  if (slow) world_.Count("slow disk");
  if (!inbox_.empty()) WantTurn();
  WaitForDue();
}

void SimCoordinator::WaitForDue() {
  const uint64_t due = ++due_;
  const Nanos at = std::max(clock_.When(turns_->NextDue()), busy_until_);
  Later(at - world_.now(), [this, due] {
    if (due_ == due && turns_ != nullptr && !turn_wanted_) RunTurn();
  });
}

void SimCoordinator::Ask(Command command, std::function<void(const Outcome&)> then) {
  Settle([this, command = std::move(command), then = std::move(then)] {
    const auto answer = [this, command, then](const Outcome& outcome) {
      if (outcome.status.ok()) {
        world_.Tell([&](Checker& checker) { checker.Replied(command, outcome.reply); });
      }
      then(outcome);
    };
    if (Post(command, answer)) return;
    then({absl::UnavailableError("no leader, or too busy"), {}, nullptr, {}});
  });
}

void SimCoordinator::RunToJudge(RunId run) {
  world_.Tell([&](Checker& checker) { checker.AskedToJudge(run); });
  Later(world_.Between(kMillisecond, kSecond), [this, run] { Judge(run); });
}

// As the reporter does: reads, makes up its mind from what is stored, and says so by a command.
void SimCoordinator::Judge(RunId run) {
  const bool read =
      Push({std::monostate(), [this, run](const Outcome& outcome) {
              const auto& runs = outcome.state->hard.runs;
              const auto found = runs.find(run);
              if (found == runs.end()) return;
              JudgeRun judge{run, found->second.attempt, v1::VERDICT_PASS, "hash", {}};
              if (found->second.failure) judge.verdict = v1::VERDICT_ERROR;
              (void)Post({CorePrincipal(), judge}, [](const Outcome&) {});
            }});
  if (!read) Later(kSecond, [this, run] { Judge(run); });
}

void SimCoordinator::Committed(const State&, Now) {}

}  // namespace rackmark::sim
