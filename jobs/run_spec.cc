#include "jobs/run_spec.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "jobs/bounds.h"
#include "jobs/feasible.h"

namespace rackmark {
namespace {

using namespace bounds;

// Only of a workload without other problems: its numbers would name the wrong thing.
void CheckFit(const Fields& spec, const Fields& serve, const v1::ServeWorkload& out,
              std::optional<uint64_t> longest) {
  if (!spec.problems().status().ok()) return;
  const std::optional<Misfit> misfit = FindMisfit(out, longest);
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

// In the order of v1::HoldPhase, which begins at 1.
const std::vector<std::string>& HoldWords() {
  static const std::vector<std::string> words = {"placed",    "starting",  "rendezvous",
                                                 "preparing", "measuring", "verifying",
                                                 "draining",  "judging"};
  return words;
}

// A rank that no gang has, or of a phase that no rank is in, would hold nothing.
void ReadHold(const Fields& hold, const v1::Gang& gang, v1::Hold& out) {
  const std::string word = hold.Word("phase", HoldWords(), std::nullopt);
  const auto at = std::find(HoldWords().begin(), HoldWords().end(), word) - HoldWords().begin();
  out.set_phase(static_cast<v1::HoldPhase>(at + 1));
  out.set_duration_ns(hold.Duration("for", {kPhaseMin, kHoldMax, std::nullopt}));
  if (!hold.Has("rank")) return;
  if (out.phase() == v1::HOLD_PHASE_PLACED || out.phase() >= v1::HOLD_PHASE_DRAINING) {
    hold.Problem("rank", absl::StrCat("means nothing in the phase ", word,
                                      ", which the coordinator holds; remove it"));
  }
  out.set_rank(hold.Small("rank", {0, kDevicesMax - 1, std::nullopt}));
  if (out.rank() >= std::max(1U, gang.devices())) {
    hold.Problem("rank", absl::StrCat("is ", out.rank(), "; the gang has ranks 0 to ",
                                      std::max(1U, gang.devices()) - 1));
  }
}

void ReadNull(const Fields& null, const v1::Gang& gang, v1::NullWorkload& out) {
  out.set_duration_ns(null.Duration("duration", {kPhaseMin, kPhaseMax, 5 * kSecond}));
  out.set_samples_per_step(null.Small("samples_per_step", {1, kSamplesPerStepMax, 16}));
  if (!null.Has("hold")) return;
  ReadHold(null.Map("hold", {"phase", "for", "rank"}), gang, *out.mutable_hold());
}

}  // namespace

const std::vector<std::string>& SpecKeys() {
  static const std::vector<std::string> keys = {"seed",        "repeats", "gang",      "workload",
                                                "load",        "limits",  "sweep",     "priority",
                                                "preemptible", "grace",   "lease_max", "budget"};
  return keys;
}

v1::RunSpec ReadRunSpec(const Fields& spec, const v1::Gang& gang, const TraceFinder& traces) {
  v1::RunSpec run;
  run.set_seed(spec.Integer("seed", {0, std::numeric_limits<uint64_t>::max(), 1}));
  const Fields workload = spec.Map("workload", {"serve", "null"});
  if (workload.Has("serve") == workload.Has("null")) {
    spec.Problem("workload", workload.Has("serve")
                                 ? "holds both serve and null; keep one workload"
                                 : "names no workload; write serve: or null: with its settings");
  }
  if (workload.Has("null")) {
    ReadNull(workload.Map("null", {"duration", "samples_per_step", "hold"}), gang,
             *run.mutable_null());
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
  LoadAndLongest load = ReadLoad(spec.Map("load", LoadKeys()), traces);
  *run.mutable_serve()->mutable_load() = std::move(load.load);
  CheckFit(spec, serve, run.serve(), load.longest);
  return run;
}

Nanos PlannedDuration(const v1::RunSpec& run) {
  if (run.has_null()) return run.null().duration_ns();
  const v1::Load& load = run.serve().load();
  return load.warmup_ns() + (load.has_auto_() ? load.auto_().calibration_ns() : 0) +
         load.duration_ns() + GraceOf(load.duration_ns());
}

v1::Limits ReadLimits(const Fields& spec, Nanos longest_run) {
  const Fields limits =
      spec.Map("limits", {"setup", "prepare", "measure", "drain", "attempts", "stall"});
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
  if (!limits.Has("stall")) return out;
  out.set_stall_ns(limits.Duration("stall", {kPhaseMin, kPhaseMax, std::nullopt}));
  if (out.stall_ns() >= out.measure_ns()) {
    limits.Problem("stall", absl::StrCat("is no shorter than limits.measure, ",
                                         FormatDuration(out.measure_ns()),
                                         ", which ends the run before; write less or remove it"));
  }
  return out;
}

}  // namespace rackmark
