#include "jobs/schema_words.h"

namespace rackmark {

const char kDurationPattern[] = "^(0|[1-9][0-9]*)(\\.[0-9]+)? ?(ns|us|ms|s|min|h)$";
const char kBytesPattern[] = "^(0|[1-9][0-9]*)(\\.[0-9]+)? ?(B|[KMGT]i?B)$";
const char kRatePattern[] = "^(0|[1-9][0-9]*)(\\.[0-9]+)? ?/(s|min)$";
const char kSharePattern[] = "^(0|[1-9][0-9]*)(\\.[0-9]+)? ?%$";

namespace {

struct Description {
  std::string_view path;
  std::string_view words;
};

constexpr Description kDescriptions[] = {
    {"apiVersion", "The version of this format."},
    {"kind", "What the document is."},
    {"metadata", "What people call the job."},
    {"metadata.name", "1 to 63 of a-z, 0-9 and -."},
    {"metadata.labels", "Words of your own, kept with the results."},
    {"spec", "What to run, on what, how long at most."},
    {"spec.seed",
     "Weights, prompts and arrivals follow from it: the same seed, the same work. [1]"},
    {"spec.repeats", "How often each point is run. [1]"},
    {"spec.sweep", "Fields and the values that each takes, as in \"load.rate\": [4/s, 8/s]."},
    {"spec.gang", "The devices that a run needs at once: placed whole or not at all."},
    {"spec.gang.devices", "How many; each is one rank."},
    {"spec.gang.per_node", "Exactly so many on each node. [as it fits]"},
    {"spec.gang.device", "Their kind."},
    {"spec.workload", "What the ranks do: one of these."},
    {"spec.workload.serve", "Tensor-parallel serving of one decoder-only transformer."},
    {"spec.workload.serve.model", "A shape of the catalogue, with synthetic weights."},
    {"spec.workload.serve.tensor_parallel", "Shards of the model. [gang.devices]"},
    {"spec.workload.serve.deterministic",
     "Bit-identical tokens for 1, 2, 4 and 8 shards, more slowly. [false]"},
    {"spec.workload.serve.kv_block_tokens", "Tokens in one block of the key/value cache. [16]"},
    {"spec.workload.serve.kv_memory", "Key/value cache of the whole gang. [256MiB]"},
    {"spec.workload.serve.max_batch", "Sequences that decode in one step. [32]"},
    {"spec.workload.serve.prefill_chunk", "Prompt tokens in one step. [256]"},
    {"spec.workload.null",
     "No work: what the instrument itself costs. Write the key in quotes: a bare null is no "
     "text to most readers of YAML."},
    {"spec.workload.null.duration", "The measured window. [5s]"},
    {"spec.workload.null.samples_per_step", "Points recorded in each step. [16]"},
    {"spec.workload.null.hold",
     "Stays in one phase of the first attempt, to see what breaks there."},
    {"spec.workload.null.hold.phase", "Which phase."},
    {"spec.workload.null.hold.for", "How long."},
    {"spec.workload.null.hold.rank", "The one rank that holds. [all]"},
    {"spec.load", "Requests that come when they come, ready or not (open loop)."},
    {"spec.load.arrivals", "How arrivals are spaced. [poisson]"},
    {"spec.load.rate", "Requests per second, or a share of a measured capacity. [auto]"},
    {"spec.load.auto_share", "Of the capacity that a short calibration measures. [60%]"},
    {"spec.load.calibration", "How long the calibration takes. [3s]"},
    {"spec.load.duration", "The measured window. [20s, or all of the trace]"},
    {"spec.load.warmup", "Full batches before anything is measured. [2s]"},
    {"spec.load.prompt_tokens", "One length, or a range that lengths are drawn from."},
    {"spec.load.output_tokens", "One length, or a range that lengths are drawn from."},
    {"spec.load.trace", "A file to replay: Azure LLM inference CSV or Mooncake JSONL."},
    {"spec.load.time_scale", "Multiplies the trace's gaps. [1]"},
    {"spec.load.length_scale", "Multiplies its lengths and prefix blocks. [1]"},
    {"spec.load.length_max", "Drops requests with more tokens than this, and counts them."},
    {"spec.load.request_limit", "Only the first so many."},
    {"spec.limits", "What may take how long. A limit that is hit ends the phase by name."},
    {"spec.limits.setup", "From placed to all ranks connected. [60s]"},
    {"spec.limits.prepare", "Weights and buffers. [120s]"},
    {"spec.limits.measure", "Warm-up to verification. [the longest run's plan + 60s]"},
    {"spec.limits.drain", "Until all samples are stored. [60s]"},
    {"spec.limits.attempts", "How often a run may start. [2]"},
};

}  // namespace

std::string_view DescriptionOf(std::string_view path) {
  for (const Description& description : kDescriptions) {
    if (description.path == path) return description.words;
  }
  return "";
}

}  // namespace rackmark
