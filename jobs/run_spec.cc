#include "jobs/run_spec.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "jobs/bounds.h"
#include "jobs/feasible.h"

namespace rackmark {
namespace {

using namespace bounds;

// 32, or {min: 8, max: 64}.
v1::IntRange ReadRange(const Fields& fields, std::string_view key) {
  v1::IntRange range;
  const YamlNode* node = fields.Find(key);
  if (node == nullptr || node->kind != YamlNode::Kind::kMap) {
    const uint32_t value = fields.Small(key, {1, kTokensMax, std::nullopt});
    range.set_min(value);
    range.set_max(value);
    return range;
  }
  const Fields ends = fields.Map(key, {"min", "max"});
  range.set_min(ends.Small("min", {1, kTokensMax, std::nullopt}));
  range.set_max(ends.Small("max", {1, kTokensMax, std::nullopt}));
  if (range.min() > range.max()) {
    ends.Problem("max",
                 absl::StrCat("max ", range.max(), " is below min ", range.min(), "; swap them"));
  }
  return range;
}

void ReadRate(const Fields& load, v1::Load& out) {
  const YamlNode* rate = load.Find("rate");
  if (rate == nullptr || rate->text == "auto") {
    v1::AutoRate& automatic = *out.mutable_auto_();
    automatic.set_share(load.Percent("auto_share", {kShareMin, kShareMax, 0.6}));
    automatic.set_calibration_ns(
        load.Duration("calibration", {kPhaseMin, kWarmupMax, 3 * kSecond}));
    return;
  }
  out.set_requests_per_second(load.Rate("rate", {kRateMin, kRateMax, std::nullopt}));
  for (const char* key : {"auto_share", "calibration"}) {
    if (!load.Has(key)) continue;
    load.Problem(key, "means nothing with a fixed rate; remove it or write rate: auto");
  }
}

v1::Load ReadLoad(const Fields& load) {
  v1::Load out;
  out.set_arrivals(load.Word("arrivals", {"poisson", "constant"}, "poisson") == "poisson"
                       ? v1::ARRIVAL_PROCESS_POISSON
                       : v1::ARRIVAL_PROCESS_CONSTANT);
  ReadRate(load, out);
  out.set_duration_ns(load.Duration("duration", {kPhaseMin, kPhaseMax, 20 * kSecond}));
  out.set_warmup_ns(load.Duration("warmup", {0, kWarmupMax, 2 * kSecond}));
  *out.mutable_prompt_tokens() = ReadRange(load, "prompt_tokens");
  *out.mutable_output_tokens() = ReadRange(load, "output_tokens");
  return out;
}

// Only of a workload without other problems: its numbers would name the wrong thing.
void CheckFit(const Fields& spec, const Fields& serve, const v1::ServeWorkload& out) {
  if (!spec.problems().status().ok()) return;
  const std::optional<Misfit> misfit = FindMisfit(out);
  if (!misfit) return;
  switch (misfit->field) {
    case Misfit::Field::kModel: return serve.Problem("model", misfit->sentence);
    case Misfit::Field::kDevices: return spec.Problem("gang", misfit->sentence);
    case Misfit::Field::kTokens: return spec.Problem("load", misfit->sentence);
    case Misfit::Field::kKvMemory: return serve.Problem("kv_memory", misfit->sentence);
  }
}

void ReadServe(const Fields& serve, const v1::Gang& gang, v1::ServeWorkload& out) {
  out.set_model(serve.Text("model", std::nullopt));
  out.set_tensor_parallel(
      serve.Small("tensor_parallel", {1, kDevicesMax, std::max(1U, gang.devices())}));
  if (out.tensor_parallel() != gang.devices()) {
    serve.Problem("tensor_parallel",
                  absl::StrCat(out.tensor_parallel(), " does not agree with gang.devices ",
                               gang.devices(), "; every device of a gang is one shard: remove ",
                               "this key or make them equal"));
  }
  out.set_deterministic(serve.Bool("deterministic", false));
  out.set_kv_block_tokens(serve.Small("kv_block_tokens", {1, kBlockTokensMax, 16}));
  out.set_kv_memory_bytes(serve.Bytes("kv_memory", {kKvBytesMin, kKvBytesMax, 256 << 20}));
  out.set_max_batch(serve.Small("max_batch", {1, kBatchMax, 32}));
  out.set_prefill_chunk(serve.Small("prefill_chunk", {1, kPrefillChunkMax, 256}));
}

void ReadNull(const Fields& null, v1::NullWorkload& out) {
  out.set_duration_ns(null.Duration("duration", {kPhaseMin, kPhaseMax, 5 * kSecond}));
  out.set_samples_per_step(null.Small("samples_per_step", {1, kSamplesPerStepMax, 16}));
}

}  // namespace

const std::vector<std::string>& SpecKeys() {
  static const std::vector<std::string> keys = {"seed", "repeats", "gang", "workload",
                                                "load", "limits",  "sweep"};
  return keys;
}

v1::Gang ReadGang(const Fields& spec) {
  const Fields gang = spec.Map("gang", {"devices", "per_node", "device"});
  v1::Gang out;
  out.set_devices(gang.Small("devices", {1, kDevicesMax, std::nullopt}));
  out.set_kind(gang.Word("device", {"cpu", "gpu"}, std::nullopt) == "cpu" ? v1::DEVICE_KIND_CPU
                                                                          : v1::DEVICE_KIND_GPU);
  if (!gang.Has("per_node")) return out;
  out.set_per_node(gang.Small("per_node", {1, kPerNodeMax, std::nullopt}));
  if (out.devices() % out.per_node() != 0) {
    gang.Problem("per_node", absl::StrCat(out.devices(), " devices do not divide into nodes of ",
                                          out.per_node(), "; write a divisor of gang.devices"));
  }
  return out;
}

v1::RunSpec ReadRunSpec(const Fields& spec, const v1::Gang& gang) {
  v1::RunSpec run;
  run.set_seed(spec.Integer("seed", {0, std::numeric_limits<uint64_t>::max(), 1}));
  const Fields workload = spec.Map("workload", {"serve", "null"});
  if (workload.Has("serve") == workload.Has("null")) {
    spec.Problem("workload", workload.Has("serve")
                                 ? "holds both serve and null; keep one workload"
                                 : "names no workload; write serve: or null: with its settings");
  }
  const std::vector<std::string> load_keys = {"arrivals",      "rate",         "auto_share",
                                              "duration",      "warmup",       "calibration",
                                              "prompt_tokens", "output_tokens"};
  if (workload.Has("null")) {
    ReadNull(workload.Map("null", {"duration", "samples_per_step"}), *run.mutable_null());
    if (spec.Has("load")) {
      spec.Problem("load", "the null workload takes no load; remove it");
    }
    return run;
  }
  const Fields serve =
      workload.Map("serve", {"model", "tensor_parallel", "deterministic", "kv_block_tokens",
                             "kv_memory", "max_batch", "prefill_chunk"});
  ReadServe(serve, gang, *run.mutable_serve());
  if (!spec.Has("load")) {
    spec.Problem("load",
                 "is missing; a serve workload needs load: with prompt_tokens and "
                 "output_tokens");
  }
  *run.mutable_serve()->mutable_load() = ReadLoad(spec.Map("load", load_keys));
  CheckFit(spec, serve, run.serve());
  return run;
}

Nanos PlannedDuration(const v1::RunSpec& run) {
  if (run.has_null()) return run.null().duration_ns();
  const v1::Load& load = run.serve().load();
  return load.warmup_ns() + (load.has_auto_() ? load.auto_().calibration_ns() : 0) +
         load.duration_ns() + GraceOf(load.duration_ns());
}

v1::Limits ReadLimits(const Fields& spec, Nanos longest_run) {
  const Fields limits = spec.Map("limits", {"setup", "prepare", "measure", "drain", "attempts"});
  v1::Limits out;
  out.set_setup_ns(limits.Duration("setup", {kPhaseMin, kPhaseMax, 60 * kSecond}));
  out.set_prepare_ns(limits.Duration("prepare", {kPhaseMin, kPhaseMax, 120 * kSecond}));
  out.set_measure_ns(
      limits.Duration("measure", {kPhaseMin, kMeasureMax, longest_run + kMeasureSlack}));
  out.set_drain_ns(limits.Duration("drain", {kPhaseMin, kPhaseMax, 60 * kSecond}));
  out.set_attempts(limits.Small("attempts", {1, kAttemptsMax, 2}));
  if (out.measure_ns() < longest_run) {
    limits.Problem(
        "measure",
        absl::StrCat(FormatDuration(out.measure_ns()),
                     " is shorter than the longest run's own plan of ", FormatDuration(longest_run),
                     " (warm-up, calibration, window, grace); write more ", "or remove the key"));
  }
  return out;
}

}  // namespace rackmark
