#include "tests/sim/machine.h"

#include <utility>

#include "tests/sim/daemon.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

SimClock MachineClock(World& world, uint32_t index) {
  const int64_t drift_max = world.knobs.drift_ppm;
  const int64_t drift = world.Between(0, 2 * drift_max) - drift_max;
  const Nanos base = world.Between(kSecond, 100'000 * kSecond);
  const Nanos wall = (1'790'000'000 + static_cast<Nanos>(index)) * kSecond;
  return {&world.timeline, base, drift, wall};
}

}  // namespace

Machine::Machine(World* world, uint32_t index)
    : world_(*world),
      timeline_(world->timeline),
      index_(index),
      clock_(MachineClock(*world, index)) {
  MakeInfo();
}

Machine::~Machine() = default;

void Machine::MakeInfo() {
  const Knobs& knobs = world_.knobs;
  info_.set_name(absl::StrCat("node-", index_));
  info_.set_boot_id(absl::StrCat(info_.name(), "-boot-", ++boots_));
  info_.set_host_id(info_.name());
  // An NVLink domain is in one rack.
  const bool lone = knobs.domain == 0 || index_ + knobs.lone >= knobs.workers;
  const uint32_t domain = lone || !knobs.gpus ? index_ : index_ / knobs.domain;
  if (knobs.racks > 0) info_.set_rack(absl::StrCat("rack-", domain % knobs.racks));
  if (knobs.rows > 0) (*info_.mutable_labels())["row"] = absl::StrCat(index_ % knobs.rows);
  info_.clear_devices();
  for (uint32_t i = 0; i < knobs.devices; ++i) {
    v1::Device& device = *info_.add_devices();
    device.set_index(i);
    device.set_kind(knobs.gpus ? v1::DEVICE_KIND_GPU : v1::DEVICE_KIND_CPU);
    if (!knobs.gpus) continue;
    device.set_model(absl::StrCat("Simulated GPU M", index_ % knobs.models));
    device.set_serial(absl::StrCat("S", index_, "-", i));
    device.set_slot(absl::StrCat(i));
    if (!lone) device.set_nvlink_domain(absl::StrCat("d.", domain));
  }
}

void Machine::StartDaemon() {
  if (up() || off_) return;
  ++life_;
  stopped_ = false;
  streams_.NewDaemon();
  daemon_ = std::make_unique<SimDaemon>(&world_, this);
  world_.trace.Line(world_.now(), Who::kWorker, index_, "starts", life_);
  daemon_->Turn();
}

void Machine::EndDaemon() {
  if (!up()) return;
  ++life_;
  stopped_ = false;
  held_.clear();
  for (const ConnPtr& conn : daemon_->Conns()) world_.network.CloseByWorker(conn);
  daemon_.reset();
}

void Machine::KillDaemon(Nanos down_for) {
  if (!up()) return;
  world_.Count("worker killed");
  world_.trace.Line(world_.now(), Who::kWorker, index_, "killed");
  EndDaemon();
  for (const auto& [pid, rank] : ranks_) rank->PipeEnded();
  world_.timeline.After(down_for, [this] { StartDaemon(); });
}

void Machine::StopDaemon() {
  if (!up() || stopped_) return;
  world_.Count("worker stopped");
  world_.trace.Line(world_.now(), Who::kWorker, index_, "stops");
  stopped_ = true;
  // Nobody answers the pings any more.
  world_.timeline.After(world_.Between(8, 15) * kSecond, [this, life = life_] {
    if (life_ != life || !stopped_) return;
    for (const ConnPtr& conn : Conns()) world_.network.Break(conn);
  });
}

void Machine::ContinueDaemon() {
  if (!up() || !stopped_) return;
  world_.trace.Line(world_.now(), Who::kWorker, index_, "goes on");
  stopped_ = false;
  const uint64_t life = life_;
  daemon_->Woken();
  for (const auto& act : std::exchange(held_, {})) {
    if (life_ == life) act();
  }
}

void Machine::Reboot(Nanos down_for) {
  if (off_) return;
  world_.Count("machine rebooted");
  world_.trace.Line(world_.now(), Who::kWorker, index_, "reboots");
  off_ = true;
  EndDaemon();
  for (const auto& [pid, rank] : ranks_) rank->Vanish();
  ranks_.clear();
  streams_.Lose();
  world_.timeline.After(down_for, [this] {
    off_ = false;
    MakeInfo();
    StartDaemon();
  });
}

void Machine::SetSick(uint32_t device, bool sick) {
  const bool changed = sick ? sick_.insert(device).second : sick_.erase(device) != 0;
  if (!changed) return;
  if (sick) world_.Count("device sick");
  Settle([this] { daemon_->LookAgain(); });
}

void Machine::Hear(const ConnPtr& conn, Down message) {
  if (conn->daemon_life != life_) return;
  Settle([this, conn, message = std::move(message)] { daemon_->Hear(conn, message); });
}

void Machine::ConnEnded(const ConnPtr& conn, const absl::Status& why) {
  if (conn->daemon_life != life_) return;
  Settle([this, conn, why] { daemon_->ConnEnded(conn, why); });
}

std::vector<ConnPtr> Machine::Conns() const {
  return up() ? daemon_->Conns() : std::vector<ConnPtr>();
}

void Machine::Break(bool samples) {
  for (const ConnPtr& conn : Conns()) {
    if (conn->samples == samples) world_.network.Break(conn);
  }
}

int Machine::Start(const StartRank& start, Nanos dead_man) {
  auto rank = std::make_unique<RankProcess>(&world_, this, start, dead_man);
  rank->pid = ++world_.last_pid;
  rank->daemon_life = life_;
  world_.trace.Line(world_.now(), Who::kRank, static_cast<uint64_t>(rank->pid), "starts",
                    start.ref.lease_id, start.ref.rank, start.device);
  RankProcess& started = *(ranks_[rank->pid] = std::move(rank));
  world_.Tell([&](Checker& checker) { checker.RankStarted(started); });
  return started.pid;
}

RankProcess* Machine::Find(int pid) {
  const auto found = ranks_.find(pid);
  return found == ranks_.end() ? nullptr : found->second.get();
}

void Machine::Hear(const RankProcess& rank, RankFrame frame, Nanos at) {
  ++world_.stats.frames;
  if (rank.daemon_life != life_) return;
  Later(at, [this, ref = rank.ref, pid = rank.pid, frame = std::move(frame)] {
    daemon_->Hear(ref, pid, frame);
  });
}

// The pipe's end comes after all that was in it.
void Machine::Exited(RankProcess* rank, Nanos at) {
  const bool ours = rank->daemon_life == life_;
  if (ours) Later(at, [this, ref = rank->ref, pid = rank->pid] { daemon_->Reap(ref, pid); });
  world_.timeline.At(at, [this, pid = rank->pid] { ranks_.erase(pid); });
}

}  // namespace rackmark::sim
