// CheckJob: the bounds again, for a Job that came over the wire.
#include <algorithm>
#include <optional>
#include <string>

#include "common/sha256.h"
#include "jobs/bounds.h"
#include "jobs/feasible.h"
#include "jobs/spec.h"

namespace rackmark {
namespace {

using namespace bounds;

// Collects the first field that is out of its bounds.
class Checker {
 public:
  template <typename T>
  void In(std::string_view field, T value, T min, T max) {
    // Written so that NaN is out of range too.
    if (status_.ok() && !(value >= min && value <= max)) {
      Fail(field, absl::StrCat("is ", value, ", outside ", min, " to ", max));
    }
  }
  void That(bool good, std::string_view field, std::string_view what) {
    if (status_.ok() && !good) Fail(field, what);
  }
  const absl::Status& status() const { return status_; }

 private:
  void Fail(std::string_view field, std::string_view what) {
    status_ = absl::InvalidArgumentError(
        absl::StrCat("job.", ToAbsl(field), " ", ToAbsl(what),
                     "; submit with the rackmark program of the coordinator's version"));
  }
  absl::Status status_;
};

void CheckRange(Checker& check, std::string_view field, const v1::IntRange& range) {
  check.In<uint32_t>(field, range.min(), 1, kTokensMax);
  check.In<uint32_t>(field, range.max(), range.min(), kTokensMax);
}

// What the trace holds is the rank's to check: it has the file.
void CheckTrace(Checker& check, const v1::Load& load) {
  const v1::TraceLoad& trace = load.trace();
  check.That(IsSha256Hex(trace.sha256()), "load.trace.sha256", "is not 64 hexadecimal digits");
  check.In<uint64_t>("load.trace.bytes", trace.bytes(), 1, kTraceBytesMax);
  check.That(trace.format() == v1::TRACE_FORMAT_AZURE_CSV ||
                 trace.format() == v1::TRACE_FORMAT_MOONCAKE_JSONL,
             "load.trace.format", "is a format that this version does not know");
  check.In<size_t>("load.trace.name", trace.name().size(), 0, kTraceNameMax);
  check.In("load.trace.time_scale", trace.time_scale(), kScaleMin, kScaleMax);
  check.In("load.trace.length_scale", trace.length_scale(), kScaleMin, kScaleMax);
  if (trace.has_length_max()) {
    check.In<uint32_t>("load.trace.length_max", trace.length_max(), 2, 2 * kTokensMax);
  }
  if (trace.has_request_limit()) {
    check.In<uint64_t>("load.trace.request_limit", trace.request_limit(), 1, kRequestLimitMax);
  }
  check.In<uint64_t>("load.trace.requests", trace.requests(), 1, kTraceBytesMax);
  if (trace.has_prefix_share()) {
    check.In("load.trace.prefix_share", trace.prefix_share(), 0.0, 1.0);
  }
  check.That(load.arrivals() == v1::ARRIVAL_PROCESS_UNKNOWN && !load.has_prompt_tokens() &&
                 !load.has_output_tokens(),
             "load", "has arrivals or lengths beside a trace");
}

void CheckDrawn(Checker& check, const v1::Load& load) {
  if (load.has_auto_()) {
    check.In("load.auto.share", load.auto_().share(), kShareMin, kShareMax);
    check.In<Nanos>("load.auto.calibration_ns", load.auto_().calibration_ns(), kPhaseMin,
                    kWarmupMax);
  } else {
    check.In("load.requests_per_second", load.requests_per_second(), kRateMin, kRateMax);
  }
  check.That(load.arrivals() == v1::ARRIVAL_PROCESS_POISSON ||
                 load.arrivals() == v1::ARRIVAL_PROCESS_CONSTANT,
             "load.arrivals", "is an arrival process that this version does not know");
  CheckRange(check, "load.prompt_tokens", load.prompt_tokens());
  CheckRange(check, "load.output_tokens", load.output_tokens());
}

void CheckLoad(Checker& check, const v1::Load& load) {
  check.In<Nanos>("load.duration_ns", load.duration_ns(), kPhaseMin, kPhaseMax);
  check.In<Nanos>("load.warmup_ns", load.warmup_ns(), 0, kWarmupMax);
  if (load.has_trace()) {
    CheckTrace(check, load);
  } else {
    CheckDrawn(check, load);
  }
}

void CheckServe(Checker& check, const v1::ServeWorkload& serve, const v1::Gang& gang) {
  check.That(serve.tensor_parallel() == gang.devices(), "serve.tensor_parallel",
             "differs from gang.devices");
  check.In<uint32_t>("serve.kv_block_tokens", serve.kv_block_tokens(), 1, kBlockTokensMax);
  check.In<uint64_t>("serve.kv_memory_bytes", serve.kv_memory_bytes(), kKvBytesMin, kKvBytesMax);
  check.In<uint32_t>("serve.max_batch", serve.max_batch(), 1, kBatchMax);
  check.In<uint32_t>("serve.prefill_chunk", serve.prefill_chunk(), 1, kPrefillChunkMax);
  CheckLoad(check, serve.load());
  if (!check.status().ok()) return;
  if (const std::optional<Misfit> misfit = FindMisfit(serve)) {
    check.That(false, misfit->field == Misfit::Field::kModel ? "serve.model" : "serve",
               absl::StrCat("does not fit (", misfit->sentence, ")"));
  }
}

void CheckHold(Checker& check, const v1::Hold& hold, const v1::Gang& gang) {
  check.That(hold.phase() != v1::HOLD_PHASE_UNKNOWN && v1::HoldPhase_IsValid(hold.phase()),
             "null.hold.phase", "is a phase that this version does not know");
  check.In<Nanos>("null.hold.duration_ns", hold.duration_ns(), kPhaseMin, kHoldMax);
  if (hold.has_rank()) check.In<uint32_t>("null.hold.rank", hold.rank(), 0, gang.devices() - 1);
}

void CheckRun(Checker& check, const v1::RunSpec& run, const v1::Gang& gang) {
  if (run.has_serve()) {
    CheckServe(check, run.serve(), gang);
  } else if (run.has_null()) {
    check.In<Nanos>("null.duration_ns", run.null().duration_ns(), kPhaseMin, kPhaseMax);
    check.In<uint32_t>("null.samples_per_step", run.null().samples_per_step(), 1,
                       kSamplesPerStepMax);
    if (run.null().has_hold()) CheckHold(check, run.null().hold(), gang);
  } else {
    check.That(false, "runs.workload", "is a workload that this version does not know");
  }
}

}  // namespace

absl::Status CheckJob(const v1::Job& job) {
  Checker check;
  const bool name_is_good = !job.name().empty() && job.name().size() <= kNameMax &&
                            std::all_of(job.name().begin(), job.name().end(), [](char c) {
                              return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                            });
  check.That(name_is_good, "name", "is not 1 to 63 of a-z, 0-9 and -");
  check.In<size_t>("labels", static_cast<size_t>(job.labels().size()), 0, kLabelsMax);
  for (const auto& [key, value] : job.labels()) {
    check.In<size_t>("labels", std::max(key.size(), value.size()), 0, kLabelBytesMax);
  }
  check.In<size_t>("source", job.source().size(), 0, kSourceBytesMax);
  const v1::Gang& gang = job.spec().gang();
  check.In<uint32_t>("gang.devices", gang.devices(), 1, kDevicesMax);
  check.That(gang.kind() == v1::DEVICE_KIND_CPU || gang.kind() == v1::DEVICE_KIND_GPU, "gang.kind",
             "is a device kind that this version does not know");
  if (gang.has_per_node()) {
    check.In<uint32_t>("gang.per_node", gang.per_node(), 1, kPerNodeMax);
    check.That(gang.per_node() > 0 && gang.devices() % gang.per_node() == 0, "gang.per_node",
               "does not divide gang.devices");
  }
  const v1::Limits& limits = job.spec().limits();
  check.In<Nanos>("limits.setup_ns", limits.setup_ns(), kPhaseMin, kPhaseMax);
  check.In<Nanos>("limits.prepare_ns", limits.prepare_ns(), kPhaseMin, kPhaseMax);
  // The derived limit stands on top of the longest window that is allowed.
  check.In<Nanos>("limits.measure_ns", limits.measure_ns(), kPhaseMin, kMeasureMax);
  check.In<Nanos>("limits.drain_ns", limits.drain_ns(), kPhaseMin, kPhaseMax);
  check.In<uint32_t>("limits.attempts", limits.attempts(), 1, kAttemptsMax);
  check.In<uint64_t>("runs", static_cast<uint64_t>(job.spec().runs_size()), 1, kRunsMax);
  for (const v1::RunSpec& run : job.spec().runs()) {
    if (!check.status().ok()) break;
    CheckRun(check, run, gang);
  }
  return check.status();
}

}  // namespace rackmark
