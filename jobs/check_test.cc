// CheckJob: what came over the wire, by whoever wrote it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/time.h"
#include "jobs/spec.h"
#include "jobs/spec_cases.h"

namespace rackmark {
namespace {

using testing::StartsWith;

TEST(CheckJob, RefusesWhatTheReaderWouldHaveRefused) {
  const v1::Job good = *ParseJob(kGood, "job.yaml", {});
  const std::pair<const char*, void (*)(v1::Job&)> table[] = {
      {"job.name", [](v1::Job& j) { j.set_name("../x"); }},
      {"job.gang.devices", [](v1::Job& j) { j.mutable_spec()->mutable_gang()->set_devices(0); }},
      {"job.gang.kind",
       [](v1::Job& j) { j.mutable_spec()->mutable_gang()->set_kind(v1::DEVICE_KIND_UNKNOWN); }},
      {"job.gang.per_node", [](v1::Job& j) { j.mutable_spec()->mutable_gang()->set_per_node(0); }},
      {"job.gang.within",
       [](v1::Job& j) {
         j.mutable_spec()->mutable_gang()->set_within(static_cast<v1::Within>(9));
       }},
      {"job.gang.within",
       [](v1::Job& j) { j.mutable_spec()->mutable_gang()->set_within(v1::WITHIN_NODE); }},
      {"job.gang.models", [](v1::Job& j) { j.mutable_spec()->mutable_gang()->add_models(""); }},
      {"job.gang.nodes",
       [](v1::Job& j) { j.mutable_spec()->mutable_gang()->add_nodes(std::string(300, 'x')); }},
      {"job.gang.labels",
       [](v1::Job& j) {
         (*j.mutable_spec()->mutable_gang()->mutable_labels())["a"] = std::string(300, 'x');
       }},
      {"job.priority", [](v1::Job& j) { j.mutable_spec()->set_priority(1001); }},
      {"job.grace_ns", [](v1::Job& j) { j.mutable_spec()->set_grace_ns(-1); }},
      {"job.lease_max_ns", [](v1::Job& j) { j.mutable_spec()->set_lease_max_ns(0); }},
      {"job.budget limits", [](v1::Job& j) { j.mutable_spec()->mutable_budget(); }},
      {"job.budget.wall_ns",
       [](v1::Job& j) { j.mutable_spec()->mutable_budget()->set_wall_ns(0); }},
      {"job.budget.node_seconds",
       [](v1::Job& j) {
         j.mutable_spec()->mutable_budget()->set_node_seconds(
             std::numeric_limits<double>::quiet_NaN());
       }},
      {"job.limits.stall_ns",
       [](v1::Job& j) { j.mutable_spec()->mutable_limits()->set_stall_ns(0); }},
      {"job.part", [](v1::Job& j) { j.mutable_part()->set_name("a"); }},
      {"job.scheduled", [](v1::Job& j) { j.mutable_scheduled()->set_schedule_id(1); }},
      {"job.limits.attempts",
       [](v1::Job& j) { j.mutable_spec()->mutable_limits()->set_attempts(99); }},
      {"job.limits.measure_ns",
       [](v1::Job& j) { j.mutable_spec()->mutable_limits()->set_measure_ns(-1); }},
      {"job.runs ", [](v1::Job& j) { j.mutable_spec()->clear_runs(); }},
      {"job.runs.workload",
       [](v1::Job& j) { j.mutable_spec()->mutable_runs(0)->clear_workload(); }},
      {"job.serve.model",
       [](v1::Job& j) { j.mutable_spec()->mutable_runs(0)->mutable_serve()->set_model("x"); }},
      {"job.serve.tensor_parallel",
       [](v1::Job& j) {
         j.mutable_spec()->mutable_runs(0)->mutable_serve()->set_tensor_parallel(3);
       }},
      {"job.load.requests_per_second",
       [](v1::Job& j) {
         j.mutable_spec()
             ->mutable_runs(0)
             ->mutable_serve()
             ->mutable_load()
             ->set_requests_per_second(std::numeric_limits<double>::quiet_NaN());
       }},
      {"job.load.prompt_tokens",
       [](v1::Job& j) {
         j.mutable_spec()
             ->mutable_runs(0)
             ->mutable_serve()
             ->mutable_load()
             ->mutable_prompt_tokens()
             ->set_max(1);
       }},
  };
  EXPECT_TRUE(CheckJob(good).ok());
  for (const auto& [field, spoil] : table) {
    v1::Job job = good;
    spoil(job);
    const absl::Status status = CheckJob(job);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << field;
    EXPECT_THAT(std::string(status.message()), StartsWith(field));
  }
}

}  // namespace
}  // namespace rackmark
