#include "tests/sim/jobs.h"

#include "tests/sim/gangs.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

uint32_t Pick(World& world, uint32_t min, uint32_t max) {
  return static_cast<uint32_t>(world.random.Between(min, max));
}

void DrawLimits(World& world, v1::Limits& limits) {
  limits.set_setup_ns(world.Between(5, 40) * kSecond);
  limits.set_prepare_ns(world.Between(5, 20) * kSecond);
  limits.set_measure_ns(world.Between(15, 40) * kSecond);
  limits.set_drain_ns(world.Between(5, 20) * kSecond);
  limits.set_attempts(Pick(world, 1, 5));
  if (world.Chance(0.3)) limits.set_stall_ns(world.Between(12, 20) * kSecond);
}

}  // namespace

v1::Job DrawJob(World& world, const std::string& name) {
  v1::Job job;
  job.set_name(name);
  v1::JobSpec& spec = *job.mutable_spec();
  DrawGang(world, *spec.mutable_gang());
  DrawLimits(world, *spec.mutable_limits());
  spec.set_priority(world.Chance(0.4) ? static_cast<int32_t>(world.Between(0, 200)) - 100 : 0);
  spec.set_preemptible(world.Chance(0.4));
  if (spec.preemptible()) spec.set_grace_ns(world.Between(0, 10) * kSecond);
  if (world.Chance(0.2)) spec.set_lease_max_ns(world.Between(5, 30) * kSecond);
  if (world.Chance(0.1)) spec.mutable_budget()->set_wall_ns(world.Between(10, 100) * kSecond);
  if (world.Chance(0.1)) {
    spec.mutable_budget()->set_node_seconds(static_cast<double>(world.Between(10, 200)));
  }
  const uint32_t runs = Pick(world, 1, world.Chance(0.1) ? 20 : 5);
  for (uint32_t i = 0; i < runs; ++i) {
    v1::RunSpec& run = *spec.add_runs();
    run.set_seed(i);
    run.set_repetition(i);
    run.mutable_null()->set_samples_per_step(1);
    run.mutable_null()->set_duration_ns(world.Between(50, 6000) * kMillisecond);
  }
  return job;
}

v1::Suite DrawSuite(World& world, const std::string& name) {
  v1::Suite suite;
  suite.set_name(name);
  const uint32_t parts = Pick(world, 2, 4);
  for (uint32_t i = 0; i < parts; ++i) {
    v1::Job& job = *suite.add_jobs();
    job = DrawJob(world, absl::StrCat(name, "-", i));
    job.mutable_part()->set_name(absl::StrCat("p", i));
    job.mutable_part()->set_gate(i == 0 && world.Chance(0.3));
    if (i == 0 || world.Chance(0.3)) continue;
    v1::Dependency& after = *job.mutable_part()->add_after();
    after.set_part(absl::StrCat("p", Pick(world, 0, i - 1)));
    after.set_when(world.Chance(0.5) ? v1::DEPENDENCY_WHEN_SUCCESS : v1::DEPENDENCY_WHEN_ANY);
  }
  if (!world.Chance(0.5)) return suite;
  v1::Expectation& expect = *suite.mutable_expect();
  expect.set_node_count(world.knobs.workers);
  expect.set_devices_per_node(world.knobs.devices);
  expect.set_alike(world.knobs.models == 1);
  expect.set_wait_ns(world.Between(0, 60) * kSecond);
  return suite;
}

v1::Schedule DrawSchedule(World& world, const std::string& name) {
  v1::Schedule schedule;
  schedule.set_name(name);
  schedule.set_when(world.Chance(0.5) ? "* * * * *" : "*/2 * * * *");
  schedule.set_concurrency(static_cast<v1::ConcurrencyPolicy>(
      Pick(world, v1::CONCURRENCY_POLICY_ALLOW, v1::CONCURRENCY_POLICY_REPLACE)));
  if (world.Chance(0.5)) schedule.set_starting_deadline_ns(world.Between(20, 600) * kSecond);
  if (world.Chance(0.3)) schedule.set_jitter_ns(world.Between(1, 30) * kSecond);
  schedule.set_keep_successful(Pick(world, 0, 3));
  schedule.set_keep_failed(Pick(world, 0, 3));
  if (world.Chance(0.7)) {
    *schedule.mutable_job() = DrawJob(world, name);
  } else {
    *schedule.mutable_suite() = DrawSuite(world, name);
  }
  return schedule;
}

}  // namespace rackmark::sim
