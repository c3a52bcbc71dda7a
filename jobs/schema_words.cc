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
    {"metadata", "What people call it."},
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
    {"spec.gang.within", "Nothing wider than one of these holds it. [cluster]"},
    {"spec.gang.prefer", "One of these if any has room for it, else something wider."},
    {"spec.gang.exclusive", "Nobody else in the NVLink domains that it touches. [false]"},
    {"spec.gang.models", "Devices of any of these: whole words of the vendor's name. [any]"},
    {"spec.gang.labels", "Nodes that have all of these."},
    {"spec.gang.nodes", "Only these nodes, by name. [any]"},
    {"spec.gang.quarantined", "Only nodes in quarantine: a check that may free them. [false]"},
    {"spec.priority", "Higher goes first. [0]"},
    {"spec.preemptible", "Makes room for a job of higher priority. [false]"},
    {"spec.grace", "What a run gets to end in when its job must make room. [30s]"},
    {"spec.lease_max",
     "Devices held so long are given up between runs if a job of higher priority waits. [no "
     "limit]"},
    {"spec.budget", "What the job may use; over it the job ends, and keeps what it measured."},
    {"spec.budget.wall", "Time with devices, all together."},
    {"spec.budget.node_hours", "That time, times the nodes."},
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
    {"spec.load.prompt_tokens.min", "The shortest."},
    {"spec.load.prompt_tokens.max", "The longest, included."},
    {"spec.load.output_tokens", "One length, or a range that lengths are drawn from."},
    {"spec.load.output_tokens.min", "The shortest."},
    {"spec.load.output_tokens.max", "The longest, included."},
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
    {"spec.limits.stall", "While it measures, so long without progress of any rank. [no limit]"},
    {"spec.expect", "What must be there before anything runs. What is not said is not looked at."},
    {"spec.expect.nodes", "All of these, by name, and no others that have the labels."},
    {"spec.expect.node_count", "So many nodes."},
    {"spec.expect.labels", "Nodes that have all of these are meant. [all nodes]"},
    {"spec.expect.device", "Devices of this kind are meant. [all]"},
    {"spec.expect.devices_per_node", "On each node."},
    {"spec.expect.model", "Of each device: whole words of the vendor's name."},
    {"spec.expect.links_per_device", "NVLinks that are up, of each device."},
    {"spec.expect.one_domain", "All devices are in one NVLink domain. [not looked at]"},
    {"spec.expect.alike", "Model, links, memory and driver are those of the majority. [false]"},
    {"spec.expect.slots", "Which serial sits where."},
    {"spec.expect.slots[].node", "A node's name."},
    {"spec.expect.slots[].slot", "As the driver counts them."},
    {"spec.expect.slots[].serial", "Of the board."},
    {"spec.expect.driver", "Its version, or the beginning of it up to a dot."},
    {"spec.expect.wait", "For nodes that are still to report, at most 60s. [20s]"},
    {"spec.jobs", "The parts of the suite, in any order."},
    {"spec.jobs[].name", "1 to 63 of a-z, 0-9 and -."},
    {"spec.jobs[].after", "Parts that it waits for."},
    {"spec.jobs[].when", "Whether they must have passed, or just ended. [success]"},
    {"spec.jobs[].gate",
     "Unless it passes, no part begins that waits for anything: a cheap check first. [false]"},
    {"spec.schedule", "Five fields (minute, hour, day, month, weekday), or @daily and the like."},
    {"spec.timeZone", "An IANA name such as Europe/Berlin. [UTC]"},
    {"spec.concurrencyPolicy",
     "If the last one still runs: run beside it, wait for it, or end it first. [Allow]"},
    {"spec.startingDeadlineSeconds",
     "How late it may begin: seconds, or a duration such as 2h. [until the next is due]"},
    {"spec.suspend", "Begins nothing while true. [false]"},
    {"spec.jitter", "Begins up to so much later, each time differently. [0s]"},
    {"spec.successfulJobsHistoryLimit", "Ended ones that are remembered. [3]"},
    {"spec.failedJobsHistoryLimit", "The same of those that did not pass. [1]"},
    {"spec.maintenance", "Nothing is begun that could still run in one of these."},
    {"spec.maintenance[].opens", "When one begins, as in schedule."},
    {"spec.maintenance[].timeZone", "Its zone. [that of the schedule]"},
    {"spec.maintenance[].length", "How long it lasts."},
    {"spec.nightBudget", "What all that begins in one night may use together."},
    {"spec.nightBudget.begins", "When a night begins, which lasts until the next: 0 18 * * *."},
    {"spec.nightBudget.timeZone", "Its zone. [that of the schedule]"},
    {"spec.nightBudget.nodeHours", "Hours, times nodes."},
    {"spec.jobTemplate", "The job: a file beside this one, or written out here."},
    {"spec.jobTemplate.metadata", "Of each job; its name is the schedule's, with the instant."},
    {"spec.jobTemplate.metadata.labels", "Words of your own, kept with the results."},
    {"spec.suiteTemplate", "The suite: a file beside this one, or written out here."},
    {"spec.suiteTemplate.metadata", "Of each suite; its name is the schedule's, with the instant."},
    {"spec.suiteTemplate.metadata.labels", "Words of your own, kept with the results."},
};

}  // namespace

std::string_view DescriptionOf(std::string_view path) {
  for (const Description& description : kDescriptions) {
    if (description.path == path) return description.words;
  }
  return "";
}

}  // namespace rackmark
