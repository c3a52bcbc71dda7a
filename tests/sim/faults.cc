#include "tests/sim/faults.h"

#include <iterator>
#include <optional>
#include <utility>

#include "tests/sim/coordinator.h"
#include "tests/sim/machine.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

using Act = std::function<void()>;

// `act` again and again, with this mean time between.
void Repeat(World& world, const std::optional<Nanos>& mean, Act act) {
  if (!mean) return;
  const auto wait = static_cast<Nanos>(world.random.Exponential(static_cast<double>(*mean)));
  world.timeline.After(wait, [&world, mean, act = std::move(act)] {
    if (world.healed) return;
    act();
    Repeat(world, mean, act);
  });
}

// Mostly short; some go past every deadline.
Nanos HowLong(World& world) {
  if (world.Chance(0.5)) return world.Between(100 * kMillisecond, 5 * kSecond);
  return world.Between(5 * kSecond, 70 * kSecond);
}

RankProcess* AnyRank(World& world, Machine& machine) {
  const auto& ranks = machine.ranks();
  if (ranks.empty()) return nullptr;
  const auto at = static_cast<std::ptrdiff_t>(world.random.Between(0, ranks.size() - 1));
  return std::next(ranks.begin(), at)->second.get();
}

void BeginOn(World& world, Machine& machine) {
  const Knobs& knobs = world.knobs;
  Machine* const m = &machine;
  World* const w = &world;
  Repeat(world, knobs.daemon_kills, [w, m] { m->KillDaemon(HowLong(*w)); });
  Repeat(world, knobs.daemon_stops, [w, m] {
    m->StopDaemon();
    w->timeline.After(HowLong(*w), [m] { m->ContinueDaemon(); });
  });
  Repeat(world, knobs.reboots, [w, m] { m->Reboot(HowLong(*w) + 5 * kSecond); });
  Repeat(world, knobs.rank_kills, [w, m] {
    RankProcess* rank = AnyRank(*w, *m);
    if (rank == nullptr) return;
    w->Count("rank killed");
    rank->Kill();
  });
  Repeat(world, knobs.rank_stops, [w, m] {
    RankProcess* rank = AnyRank(*w, *m);
    if (rank == nullptr || rank->stopped()) return;
    rank->Stop();
    w->timeline.After(HowLong(*w), [m, pid = rank->pid] {
      if (RankProcess* stopped = m->Find(pid)) stopped->Continue();
    });
  });
  Repeat(world, knobs.rank_hangs, [w, m] {
    RankProcess* rank = AnyRank(*w, *m);
    if (rank == nullptr) return;
    w->Count("rank hangs");
    rank->Hang();
  });
  Repeat(world, knobs.sick_devices, [w, m] {
    const auto device = static_cast<uint32_t>(w->random.Between(0, w->knobs.devices - 1));
    m->SetSick(device, true);
    w->timeline.After(HowLong(*w), [m, device] { m->SetSick(device, false); });
  });
  Repeat(world, knobs.breaks, [w, m] { m->Break(w->Chance(0.3)); });
  Repeat(world, knobs.partitions, [w, m] {
    if (w->network.IsCut(m->index())) return;
    w->network.Cut(m->index());
    w->timeline.After(HowLong(*w), [w, m] { w->network.Mend(m->index()); });
  });
}

void BeginOn(World& world, SimCoordinator& coordinator) {
  SimCoordinator* const c = &coordinator;
  World* const w = &world;
  Repeat(world, world.knobs.coordinator_kills, [c] { c->Kill(); });
  Repeat(world, world.knobs.coordinator_stops, [w, c] {
    c->StopProcess();
    w->timeline.After(HowLong(*w), [c] { c->ContinueProcess(); });
  });
}

}  // namespace

void BeginFaults(World& world) {
  for (const auto& machine : world.machines) BeginOn(world, *machine);
  for (const auto& coordinator : world.coordinators) BeginOn(world, *coordinator);
  World* const w = &world;
  Repeat(world, world.knobs.wall_steps, [w] {
    const Nanos by = w->Between(0, 7200 * kSecond) - 3600 * kSecond;
    const auto at = w->random.Between(0, w->coordinators.size() - 1);
    w->coordinators[at]->StepWall(by);
    w->machines[w->random.Between(0, w->machines.size() - 1)]->StepWall(by);
    w->Count("wall clock stepped");
  });
}

void HealFaults(World& world) {
  for (const auto& machine : world.machines) {
    world.network.Mend(machine->index());
    machine->ContinueDaemon();
    for (uint32_t device = 0; device < world.knobs.devices; ++device) {
      machine->SetSick(device, false);
    }
    for (const auto& [pid, rank] : machine->ranks()) rank->Continue();
  }
  for (const auto& coordinator : world.coordinators) coordinator->ContinueProcess();
}

}  // namespace rackmark::sim
