#include "tests/sim/simulation.h"

#include "tests/sim/client.h"
#include "tests/sim/coordinator.h"
#include "tests/sim/daemon.h"
#include "tests/sim/faults.h"
#include "tests/sim/machine.h"

namespace rackmark::sim {

World::World(const Knobs& all_knobs, std::FILE* trace_out)
    : knobs(all_knobs), trace(trace_out), random(all_knobs.seed, 2) {}
World::~World() = default;

namespace {

void Build(World& world) {
  world.checkers = MakeCheckers(&world);
  world.client = std::make_unique<SimClient>(&world);
  for (uint32_t i = 0; i < world.knobs.coordinators; ++i) {
    world.coordinators.push_back(std::make_unique<SimCoordinator>(&world, i));
  }
  for (uint32_t i = 0; i < world.knobs.workers; ++i) {
    world.machines.push_back(std::make_unique<Machine>(&world, i));
  }
}

void Begin(World& world) {
  for (const auto& coordinator : world.coordinators) {
    world.timeline.After(world.Between(0, kSecond), [c = coordinator.get()] { c->Start(); });
  }
  for (const auto& machine : world.machines) {
    world.timeline.After(world.Between(0, 5 * kSecond), [m = machine.get()] { m->StartDaemon(); });
  }
  world.client->Begin();
  BeginFaults(world);
}

void EverySecond(World& world) {
  world.timeline.After(kSecond, [&world] {
    world.Tell([](Checker& checker) { checker.EverySecond(); });
    EverySecond(world);
  });
}

void RunUntil(World& world, Nanos end) {
  while (!world.violation && !world.timeline.empty() && world.timeline.next() <= end) {
    world.timeline.Step();
  }
}

// Every job has its verdict, every rank is gone, and every node says so.
bool IsOver(const World& world) {
  const HardState& hard = world.durable;
  if (!hard.jobs.empty() || !hard.leases.empty() || world.client->pending() != 0) return false;
  for (const auto& [id, suite] : hard.suites) {
    if (IsOpen(suite)) return false;
  }
  for (const auto& machine : world.machines) {
    if (!machine->up() || !machine->ranks().empty()) return false;
  }
  for (const auto& coordinator : world.coordinators) {
    const State* state = coordinator->state();
    if (state == nullptr || state->hard.epoch != hard.epoch) continue;
    for (const auto& [id, node] : state->hard.nodes) {
      const auto soft = state->soft.nodes.find(id);
      if (soft == state->soft.nodes.end() || !soft->second.reported) return false;
      if (node.phase != v1::NODE_PHASE_UP) return false;
      for (const v1::DeviceReport& device : soft->second.report->devices()) {
        if (device.lease_id() != 0 || !device.healthy()) return false;
      }
    }
    return state->hard.nodes.size() == world.machines.size();
  }
  return false;  // nobody leads
}

void Heal(World& world) {
  world.trace.Line(world.now(), Who::kWorld, 0, "heals");
  world.healed = true;
  HealFaults(world);
  world.client->Heal();
}

}  // namespace

Result Simulate(const Knobs& knobs, std::FILE* trace, std::vector<v1::Event>* tape) {
  World world(knobs, trace);
  world.tape = tape;
  if (trace != nullptr) std::fprintf(trace, "%s\n", Describe(knobs).c_str());
  Build(world);
  static uint64_t chance = 0;  // of the process, not of the seed
  if (knobs.plant == Plant::kChance) world.trace.Line(0, Who::kWorld, 0, "chance", ++chance);
  Begin(world);
  EverySecond(world);
  RunUntil(world, knobs.faults_for);
  if (!world.violation) Heal(world);
  const Nanos bound = knobs.faults_for + knobs.heal_within;
  while (!world.violation && !IsOver(world) && world.now() < bound) {
    RunUntil(world, world.now() + kSecond);
  }
  if (!world.violation) world.Tell([](Checker& checker) { checker.Ended(); });
  Result result;
  result.violation = world.violation;
  result.stats = world.stats;
  result.trace_hash = world.trace.hash();
  result.trace_lines = world.trace.lines();
  result.steps = world.timeline.steps();
  result.took = world.now();
  return result;
}

void Add(const Stats& one, Stats& sum) {
  sum.messages += one.messages;
  sum.frames += one.frames;
  sum.events += one.events;
  sum.commands += one.commands;
  sum.writes += one.writes;
  for (const auto& [what, count] : one.happened) sum.happened[what] += count;
}

}  // namespace rackmark::sim
