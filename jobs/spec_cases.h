// A job without mistakes, and what each mistake in it is told. For the tests of the reader and of
// the schema: both refuse the same things, but for those that a schema does not see.
#pragma once

#include <string_view>

namespace rackmark {

// Line 1 is apiVersion, so that the tables below can name lines.
inline constexpr std::string_view kGood = R"(apiVersion: rackmark/v1
kind: Job
metadata:
  name: test
spec:
  seed: 7
  gang: {devices: 2, per_node: 1, device: cpu}
  workload:
    serve:
      model: tiny-30m
      kv_memory: 64MiB
  load:
    rate: 12/s
    duration: 10s
    prompt_tokens: {min: 8, max: 32}
    output_tokens: 16
)";

struct BadCase {
  const char* from;
  const char* to;
  const char* says;        // the whole sentence's beginning: place, path, what
  bool text_only = false;  // the values are fine: it is their text or their arithmetic that is not
};

inline const BadCase kBadCases[] = {
    // Keys.
    {"kv_memory:", "kv_memry:",
     "job.yaml:11:7: spec.workload.serve.kv_memry: unknown key; did you mean \"kv_memory\"?"},
    {"seed: 7", "turbo: 7", "job.yaml:6:3: spec.turbo: unknown key; the keys here are seed,"},
    {"metadata:", "meta:", "job.yaml:3:1: meta: unknown key"},
    {"seed: 7", "seed: 7\n  seed: 8",
     "job.yaml:7:3: spec.seed: this key is here twice, first on line 6; keep one of them"},
    {"devices: 2, per", "devices: 2, devices: 2, per",
     "job.yaml:7:22: spec.gang.devices: this key is here twice"},
    {"seed: 7", "\"seed\": 7\n  seed: 8", "job.yaml:7:3: spec.seed: this key is here twice"},
    {"seed: 7", "<<: {seed: 7}", "job.yaml:6:3: spec.<<: unknown key"},
    {"seed: 7", "[seed]: 7", "job.yaml:6:3: spec: a key must be a plain word"},
    {"seed: 7", "~: 7", "job.yaml:6:3: spec: a key is empty"},
    // Things of YAML that are not allowed.
    {"seed: 7", "seed: &a 7", "job.yaml:6:9: spec.seed: anchor \"&a\" is not allowed"},
    {"seed: 7", "seed: *a", "job.yaml:6:9: "},
    {"seed: 7", "seed: !!int 7", "job.yaml:6:9: spec.seed: tag \"tag:yaml.org,2002:int\" is not"},
    {"seed: 7", "seed: !x 7", "job.yaml:6:9: spec.seed: tag \"!x\" is not allowed"},
    {"gang: {", "gang: !x {", "job.yaml:7:9: spec.gang: tag \"!x\" is not allowed"},
    {"    output_tokens: 16\n", "    output_tokens: 16\n---\na: 1\n",
     "job.yaml:17:1: a second document starts here"},
    {"seed: 7", "seed: 7: 8", "job.yaml:6:"},
    {"seed: 7", "seed: [7", "job.yaml:"},
    {"seed: 7", "\tseed: 7", "job.yaml:6:"},
    {"seed: 7", "seed: \x01", "job.yaml:6:9: a control character is not allowed"},
    {"seed: 7", "seed: \xff", "job.yaml:6:9: this byte is not UTF-8"},
    {"seed: 7", "seed: \xed\xa0\x80", "job.yaml:6:9: this byte is not UTF-8"},
    // Head and metadata.
    {"rackmark/v1", "rackmark/v2",
     "job.yaml:1:13: apiVersion: \"rackmark/v2\" is unknown; did you mean \"rackmark/v1\"?"},
    {"kind: Job", "kind: Suite", "job.yaml:2:7: kind: \"Suite\" is unknown; write Job"},
    {"kind: Job\n", "", "job.yaml:1:1: kind: is missing; write Job here"},
    {"name: test", "name: Test_1", "job.yaml:4:9: metadata.name: \"Test_1\" is not a name"},
    {"name: test", "name:", "job.yaml:4:3: metadata.name: has no value"},
    // An empty value is told at its key, not at what comes next.
    {"seed: 7", "limits:", "job.yaml:6:3: spec.limits: is empty where a map is needed"},
    {"seed: 7", "budget:\n\n", "job.yaml:6:3: spec.budget: is empty where a map is needed"},
    {"seed: 7", "sweep:\n    load.rate:", "job.yaml:7:5: spec.sweep.load.rate: needs a list"},
    {"seed: 7", "sweep:\n    load.warmup:\n      - 1s\n    seed:",
     "job.yaml:9:5: spec.sweep.seed: needs a list of values"},
    {"name: test", "name: test\n  labels: [a]", "job.yaml:5:11: metadata.labels: is a list"},
    // Gang.
    {"devices: 2", "devices: two", "job.yaml:7:19: spec.gang.devices: \"two\" is not a number"},
    {"devices: 2", "devices: 0", "spec.gang.devices: \"0\" is out of range; write 1 to 65536"},
    {"devices: 2", "devices: 70000", "spec.gang.devices: \"70000\" is out of range"},
    {"devices: 2", "devices: \"2\"", "spec.gang.devices: \"2\" is quoted text"},
    {"devices: 2", "devices: 010", "spec.gang.devices: \"010\" starts with 0, which YAML reads",
     true},
    {"devices: 2", "devices: 0x2", "spec.gang.devices: \"0x2\" is hexadecimal", true},
    {"devices: 2", "devices: .inf", "spec.gang.devices: \".inf\" is not a finite number"},
    {"devices: 2", "devices: 2.0", "spec.gang.devices: \"2.0\" is not a whole number", true},
    {"devices: 2", "devices: -2", "spec.gang.devices: \"-2\" is negative"},
    {"devices: 2", "devices: [2]", "spec.gang.devices: is a list; write a whole number"},
    {"device: cpu", "device: tpu", "spec.gang.device: \"tpu\" is unknown; did you mean"},
    {"device: cpu", "device: quantum", "\"quantum\" is unknown; write cpu or gpu"},
    {", device: cpu", "", "job.yaml:7:9: spec.gang.device: is missing; write cpu or gpu here"},
    {"{devices: 2, per_node: 1, device: cpu}", "2", "job.yaml:7:9: spec.gang: is a single value"},
    {"device: cpu", "device: cpu, within: rak", "\"rak\" is unknown; did you mean \"rack\"?"},
    {"device: cpu", "device: cpu, within: rack, prefer: node",
     "job.yaml:7:70: spec.gang.prefer: stands beside within; keep"},
    {"device: cpu", "device: cpu, within: node",
     "spec.gang.within: one node cannot hold what per_node spreads over 2", true},
    {"device: cpu", "device: cpu, nodes: [a]",
     "spec.gang.nodes: names 1 nodes, and per_node spreads the gang over 2; name more", true},
    {"device: cpu", "device: cpu, nodes: []", "spec.gang.nodes: is an empty list; name something"},
    {"device: cpu", "device: cpu, nodes: [a, a]",
     "job.yaml:7:59: spec.gang.nodes[1]: \"a\" is here twice; keep one"},
    {"device: cpu", "device: cpu, nodes: a",
     "spec.gang.nodes: is a single value where a list is needed; write [one, two]"},
    {"device: cpu", "device: cpu, nodes: [[a]]", "spec.gang.nodes[0]: is a list; write a text"},
    {"device: cpu", "device: cpu, models: [\"\"]", "spec.gang.models[0]: is empty; write a text"},
    {"device: cpu", "device: cpu, labels: [a]", "spec.gang.labels: is a list where a map is"},
    {"device: cpu", "device: cpu, labels: {a: [b]}", "spec.gang.labels.a: is a list"},
    {"device: cpu", "device: cpu, labels: {\"\": a}",
     "spec.gang.labels: holds a label without a name"},
    {"device: cpu", "device: cpu, exclusive: yes", "spec.gang.exclusive: \"yes\" where a switch"},
    {"device: cpu", "device: cpu, quarantined: 1", "spec.gang.quarantined: \"1\" where a switch"},
    // How it stands to others.
    {"seed: 7", "priority: 1001", "\"1001\" is out of range; write -1000 to 1000"},
    {"seed: 7", "priority: -1001", "spec.priority: \"-1001\" is out of range"},
    {"seed: 7", "priority: high", "spec.priority: \"high\" is not a number"},
    {"seed: 7", "priority: \"5\"", "spec.priority: \"5\" is quoted text"},
    {"seed: 7", "preemptible: maybe", "spec.preemptible: \"maybe\" where a switch"},
    {"seed: 7", "grace: 30", "spec.grace: \"30\" has no unit; write a duration"},
    {"seed: 7", "grace: 2h", "spec.grace: \"2h\" is out of range; write 0 ns to 60 min 00 s", true},
    {"seed: 7", "lease_max: 100ms", "spec.lease_max: \"100ms\" is out of range", true},
    {"seed: 7", "budget: {}", "job.yaml:6:11: spec.budget: limits nothing; write wall or"},
    {"seed: 7", "budget: {wall: 1}", "spec.budget.wall: \"1\" has no unit"},
    {"seed: 7", "budget: {node_hours: 0}", "spec.budget.node_hours: \"0\" is out of range"},
    {"seed: 7", "budget: {node_hours: 1h}", "spec.budget.node_hours: \"1h\" is not a plain number"},
    {"seed: 7", "limits: {stall: 74s}",
     "job.yaml:6:19: spec.limits.stall: is no shorter than limits.measure, ", true},
    {"seed: 7", "limits: {stall: soon}", "spec.limits.stall: \"soon\" is not a number"},
    // Workload.
    {"tiny-30m", "tiny-3Om",
     "job.yaml:10:14: spec.workload.serve.model: model \"tiny-3Om\" is unknown; did you mean "
     "\"tiny-30m\"?"},
    {"tiny-30m", "zzzzzzzzzzzzz", "model \"zzzzzzzzzzzzz\" is unknown; the models are "},
    {"kv_memory: 64MiB", "kv_memory: 64",
     "job.yaml:11:18: spec.workload.serve.kv_memory: \"64\" has no unit; write a size such as"},
    {"kv_memory: 64MiB", "deterministic: yes",
     "spec.workload.serve.deterministic: \"yes\" where a switch is needed; write true or false"},
    {"kv_memory: 64MiB", "deterministic: 'true'", "\"true\" is quoted text where a switch"},
    {"kv_memory: 64MiB", "tensor_parallel: 4",
     "spec.workload.serve.tensor_parallel: 4 does not agree with gang.devices 2", true},
    {"kv_memory: 64MiB", "kv_memory: 1MiB\n      kv_block_tokens: 512",
     "job.yaml:11:18: spec.workload.serve.kv_memory: 1 MiB cannot hold one request of 48 ", true},
    {"output_tokens: 16", "output_tokens: 1000000", "job.yaml:13:5: spec.load: prompt and output",
     true},
    {"devices: 2, per_node: 1", "devices: 3", "job.yaml:7:9: spec.gang: ", true},
    {"kv_memory: 64MiB", "max_batch: 100000", "max_batch: \"100000\" is out of range"},
    {"    serve:", "    null: {}\n    serve:", "spec.workload: holds both serve and null"},
    // Load.
    {"rate: 12/s", "rate: 12", "job.yaml:13:11: spec.load.rate: \"12\" has no unit; write a rate"},
    {"rate: 12/s", "rate: fast", "job.yaml:13:11: spec.load.rate: \"fast\" is not a number"},
    {"rate: 12/s", "rate: 12/s\n    auto_share: 50%",
     "job.yaml:14:17: spec.load.auto_share: means nothing with a fixed rate"},
    {"rate: 12/s", "auto_share: 0.6", "spec.load.auto_share: \"0.6\" has no unit"},
    {"rate: 12/s", "auto_share: 5000%", "is out of range; write 1% to 1000%", true},
    {"duration: 10s", "duration: 10", "spec.load.duration: \"10\" has no unit; write a duration"},
    {"duration: 10s", "duration: 100h", "spec.load.duration: \"100h\" is out of range", true},
    {"duration: 10s", "arrivals: poison", "did you mean \"poisson\"?"},
    {"{min: 8, max: 32}", "{min: 8, max: 4}",
     "job.yaml:15:34: spec.load.prompt_tokens.max: max 4 is below min 8; swap them", true},
    {"{min: 8, max: 32}", "{min: 8}", "spec.load.prompt_tokens.max: is missing"},
    {"{min: 8, max: 32}", "[8, 32]", "spec.load.prompt_tokens: is a list"},
    {"    output_tokens: 16\n", "", "spec.load.output_tokens: is missing; write a whole number"},
    // Limits.
    {"seed: 7", "limits: {measure: 5s}",
     "job.yaml:6:21: spec.limits.measure: 5 s is shorter than the longest run's own plan of 14 "
     "s",
     true},
    {"seed: 7", "limits: {attempts: 0}", "spec.limits.attempts: \"0\" is out of range"},
    {"seed: 7", "limits: {setup: 60}", "spec.limits.setup: \"60\" has no unit"},
    // Sweep.
    {"seed: 7", "sweep: {gang.devices: [1, 2]}",
     "job.yaml:6:11: spec.sweep.gang.devices: cannot be swept"},
    {"seed: 7", "sweep: {seed: 3}", "job.yaml:6:17: spec.sweep.seed: needs a list of values"},
    {"seed: 7", "sweep: {seed: []}", "spec.sweep.seed: needs a list of values"},
    {"seed: 7", "sweep: {seed: [1, 1]}",
     "job.yaml:6:21: spec.sweep.seed: value \"1\" is here twice"},
    {"seed: 7", "sweep: {load.rate: [1/s, 2/s]}",
     "job.yaml:13:5: spec.load.rate: is also swept (line 6); keep the value or the sweep", true},
    {"seed: 7", "sweep: {seed: [1, x]}",
     "job.yaml:6:21: spec.seed: \"x\" is not a number; write a whole number in decimal digits "
     "(sweep point seed=x)",
     true},
    {"seed: 7", "sweep: [1]", "job.yaml:6:10: spec.sweep: needs fields with lists"},
    {"seed: 7", "repeats: 100000", "spec.repeats: \"100000\" is out of range"},
};

}  // namespace rackmark
