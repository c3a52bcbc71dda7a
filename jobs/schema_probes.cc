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
          spec: {gang: {devices: 1, device: cpu}, workload: {null: {}}}})",
      R"({apiVersion: rackmark/v1, kind: Job, metadata: {name: a},
          spec: {gang: {devices: 2, device: cpu},
                 workload: {null: {hold: {phase: measuring, for: 1s, rank: 1}}}}})",
      R"({apiVersion: rackmark/v1, kind: Job, metadata: {name: a},
          spec: {gang: {devices: 1, device: cpu},
                 workload: {null: {hold: {phase: placed, for: 1s}}}}})",
  };
  return probes;
}

}  // namespace rackmark
