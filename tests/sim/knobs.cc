#include "tests/sim/knobs.h"

#include "common/random.h"

namespace rackmark::sim {
namespace {

constexpr uint64_t kKnobStream = 1;  // of the seed: other draws do not shift these

class Drawer {
 public:
  explicit Drawer(uint64_t seed) : random_(seed, kKnobStream) {}
  bool Chance(double share) { return random_.Uniform() < share; }
  uint32_t Between(uint32_t min, uint32_t max) {
    return static_cast<uint32_t>(random_.Between(min, max));
  }
  Nanos Seconds(uint32_t min, uint32_t max) { return Between(min, max) * kSecond; }
  std::optional<Nanos> Sometimes(double share, uint32_t min, uint32_t max) {
    const bool on = Chance(share);
    const Nanos mean = Seconds(min, max);
    return on ? std::optional<Nanos>(mean) : std::nullopt;
  }
  double Share(double on, double max) {
    const bool is_on = Chance(on);
    const double share = random_.Uniform() * max;
    return is_on ? share : 0;
  }

 private:
  Random random_;
};

void DrawSize(Drawer& draw, Knobs& knobs) {
  const uint32_t kind = draw.Between(0, 99);
  if (kind < 5) {
    knobs.workers = 1;
  } else if (kind < 75) {
    knobs.workers = draw.Between(2, 12);
  } else if (kind < 97) {
    knobs.workers = draw.Between(13, 50);
  } else {
    knobs.workers = draw.Between(51, 400);
  }
  knobs.devices = draw.Chance(0.3) ? 1 : draw.Between(2, 8);
  knobs.racks = draw.Chance(0.5) ? draw.Between(1, 4) : 0;
  knobs.gpus = draw.Chance(0.5);
  knobs.domain = draw.Chance(0.5) ? draw.Between(1, 4) : 0;
  knobs.coordinators = draw.Chance(0.3) ? 2 : 1;
}

void DrawWork(Drawer& draw, Knobs& knobs) {
  const bool large = knobs.workers > 50;
  knobs.faults_for = large ? draw.Seconds(40, 80) : draw.Seconds(60, 400);
  knobs.heal_within = 3600 * kSecond;
  knobs.jobs = large ? draw.Between(5, 20) : draw.Between(2, 12);
  knobs.suites = draw.Chance(0.3) ? draw.Between(1, 3) : 0;
  knobs.schedules = draw.Chance(0.3) ? draw.Between(1, 3) : 0;
  knobs.cancel = draw.Share(0.5, 0.4);
  knobs.operators = draw.Chance(0.4);
  knobs.snapshot_events = draw.Chance(0.5) ? draw.Between(20, 200) : 10'000;
}

void DrawNetwork(Drawer& draw, Knobs& knobs) {
  knobs.delay_min = draw.Between(20, 2000) * kMicrosecond;
  knobs.delay_max = knobs.delay_min + (draw.Chance(0.3) ? draw.Between(50, 3000) * kMillisecond
                                                        : draw.Between(1, 20) * kMillisecond);
  knobs.loss = draw.Share(0.4, 0.1);
  knobs.copies = draw.Share(0.4, 0.1);
  knobs.reorder = draw.Chance(0.4);
  knobs.breaks = draw.Sometimes(0.5, 20, 300);
  knobs.partitions = draw.Sometimes(0.5, 60, 600);
}

void DrawFaults(Drawer& draw, Knobs& knobs) {
  knobs.daemon_kills = draw.Sometimes(0.4, 60, 600);
  knobs.daemon_stops = draw.Sometimes(0.4, 60, 600);
  knobs.reboots = draw.Sometimes(0.3, 120, 900);
  knobs.rank_kills = draw.Sometimes(0.4, 60, 600);
  knobs.rank_stops = draw.Sometimes(0.3, 60, 600);
  knobs.rank_hangs = draw.Sometimes(0.3, 60, 600);
  knobs.sick_devices = draw.Sometimes(0.3, 100, 900);
  knobs.rank_fails = draw.Share(0.4, 0.1);
  knobs.coordinator_kills = draw.Sometimes(0.5, 20, 200);
  knobs.coordinator_stops = draw.Sometimes(0.4, 20, 200);
  knobs.append_fails = draw.Share(0.4, 0.01);
  knobs.slow_disk = draw.Chance(0.3);
  knobs.drift_ppm = draw.Chance(0.5) ? draw.Between(1, 300) : 0;
  knobs.wall_steps = draw.Sometimes(0.3, 20, 300);
}

// After all others, so that these are what they were before.
void DrawPlaces(Drawer& draw, Knobs& knobs) {
  const bool lone = draw.Chance(0.4);
  const uint32_t count = draw.Between(1, 3);
  if (lone && knobs.domain > 0 && knobs.workers > count) knobs.lone = count;
  knobs.models = draw.Chance(0.2) ? 2 : 1;
  knobs.rows = draw.Chance(0.3) ? draw.Between(1, 3) : 0;
  knobs.picky = draw.Share(0.4, 0.4);
  knobs.exclusive = draw.Share(0.4, 0.3);
}

}  // namespace

Knobs DrawKnobs(uint64_t seed) {
  Drawer draw(seed);
  Knobs knobs;
  knobs.seed = seed;
  DrawSize(draw, knobs);
  DrawWork(draw, knobs);
  DrawNetwork(draw, knobs);
  DrawFaults(draw, knobs);
  DrawPlaces(draw, knobs);
  return knobs;
}

}  // namespace rackmark::sim
