#include "jobs/schema.h"

namespace rackmark {

// Each branch of the reader is in one of them, each optional key is missing in another: a key that
// every document with its map must have is required.
const std::vector<std::string_view>& SchemaProbes() {
  static const std::vector<std::string_view> probes = {
      // The least that serves.
      R"({apiVersion: rackmark/v1, kind: Job, metadata: {name: a},
          spec: {gang: {devices: 1, device: cpu},
                 workload: {serve: {model: nano-1m}},
                 load: {prompt_tokens: 1, output_tokens: 1}}})",
      // A fixed rate, ranges, and all else that can be said of a job.
      R"({apiVersion: rackmark/v1, kind: Job, metadata: {name: a, labels: {}},
          spec: {seed: 1, repeats: 1, gang: {devices: 1, per_node: 1, device: cpu},
                 workload: {serve: {model: nano-1m}},
                 load: {rate: 1/s, prompt_tokens: {min: 1, max: 1},
                        output_tokens: {min: 1, max: 1}},
                 limits: {}}})",
      R"({apiVersion: rackmark/v1, kind: Job, metadata: {name: a},
          spec: {gang: {devices: 1, device: cpu},
                 workload: {serve: {model: nano-1m}},
                 load: {trace: a.csv, length_max: 2, request_limit: 1, duration: 1s}}})",
      R"({apiVersion: rackmark/v1, kind: Job, metadata: {name: a},
          spec: {gang: {devices: 1, device: cpu, within: rack, models: [a], labels: {}, nodes: [a]},
                 workload: {null: {}}, limits: {stall: 1s}, lease_max: 1min,
                 budget: {wall: 1h, node_hours: 1}}})",
      R"({apiVersion: rackmark/v1, kind: Job, metadata: {name: a},
          spec: {gang: {devices: 1, device: cpu, prefer: rack}, workload: {null: {}},
                 budget: {wall: 1h}}})",
      R"({apiVersion: rackmark/v1, kind: Job, metadata: {name: a},
          spec: {gang: {devices: 1, device: cpu}, workload: {null: {}}, budget: {node_hours: 1}}})",
      R"({apiVersion: rackmark/v1, kind: Job, metadata: {name: a},
          spec: {gang: {devices: 2, device: cpu},
                 workload: {null: {hold: {phase: measuring, for: 1s, rank: 1}}}}})",
      R"({apiVersion: rackmark/v1, kind: Job, metadata: {name: a},
          spec: {gang: {devices: 1, device: cpu},
                 workload: {null: {hold: {phase: placed, for: 1s}}}}})",
  };
  return probes;
}

const std::vector<std::string_view>& SuiteProbes() {
  static const std::vector<std::string_view> probes = {
      R"({apiVersion: rackmark/v1, kind: Suite, metadata: {name: a},
          spec: {jobs: [{name: a, job: job.yaml}]}})",
      R"({apiVersion: rackmark/v1, kind: Suite, metadata: {name: a, labels: {}},
          spec: {expect: {alike: true},
                 jobs: [{name: a, job: job.yaml, gate: true},
                        {name: b, job: job.yaml, after: [a], when: any}]}})",
      R"({apiVersion: rackmark/v1, kind: Suite, metadata: {name: a},
          spec: {expect: {node_count: 1, device: gpu, devices_per_node: 1, model: a,
                          links_per_device: 1, driver: a, slots: [{node: a, slot: b, serial: c}]},
                 jobs: [{name: a, job: job.yaml}]}})",
  };
  return probes;
}

const std::vector<std::string_view>& ScheduleProbes() {
  static const std::vector<std::string_view> probes = {
      R"({apiVersion: rackmark/v1, kind: Schedule, metadata: {name: a},
          spec: {schedule: "@daily", jobTemplate: job.yaml}})",
      R"({apiVersion: rackmark/v1, kind: Schedule, metadata: {name: a},
          spec: {schedule: "@daily", suiteTemplate: suite.yaml}})",
      R"({apiVersion: rackmark/v1, kind: Schedule, metadata: {name: a},
          spec: {schedule: "@daily", startingDeadlineSeconds: 1h,
                 maintenance: [{opens: "@daily", length: 1h}],
                 nightBudget: {begins: "@daily", nodeHours: 1},
                 jobTemplate: {metadata: {labels: {}},
                               spec: {gang: {devices: 1, device: cpu}, workload: {null: {}}}}}})",
      R"({apiVersion: rackmark/v1, kind: Schedule, metadata: {name: a},
          spec: {schedule: "@daily",
                 suiteTemplate: {metadata: {labels: {}},
                                 spec: {jobs: [{name: a, job: job.yaml}]}}}})",
  };
  return probes;
}

}  // namespace rackmark
