// CheckJob: the bounds again, for a Job that came over the wire.
#include <algorithm>
#include <optional>
#include <string>

#include "common/sha256.h"
#include "jobs/bounds.h"
#include "jobs/feasible.h"
#include "jobs/job_reader.h"
#include "jobs/spec.h"
#include "jobs/wire_check.h"

namespace rackmark {
namespace {

using namespace bounds;

void CheckRange(WireCheck& check, std::string_view field, const v1::IntRange& range) {
  check.In<uint32_t>(field, range.min(), 1, kTokensMax);
  check.In<uint32_t>(field, range.max(), range.min(), kTokensMax);
}

// What the trace holds is the rank's to check: it has the file.
void CheckTrace(WireCheck& check, const v1::Load& load) {
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

void CheckDrawn(WireCheck& check, const v1::Load& load) {
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

void CheckLoad(WireCheck& check, const v1::Load& load) {
  check.In<Nanos>("load.duration_ns", load.duration_ns(), kPhaseMin, kPhaseMax);
  check.In<Nanos>("load.warmup_ns", load.warmup_ns(), 0, kWarmupMax);
  if (load.has_trace()) {
    CheckTrace(check, load);
  } else {
    CheckDrawn(check, load);
  }
}

void CheckServe(WireCheck& check, const v1::ServeWorkload& serve, const v1::Gang& gang) {
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

void CheckHold(WireCheck& check, const v1::Hold& hold, const v1::Gang& gang) {
  check.That(hold.phase() != v1::HOLD_PHASE_UNKNOWN && v1::HoldPhase_IsValid(hold.phase()),
             "null.hold.phase", "is a phase that this version does not know");
  check.In<Nanos>("null.hold.duration_ns", hold.duration_ns(), kPhaseMin, kHoldMax);
  if (hold.has_rank()) check.In<uint32_t>("null.hold.rank", hold.rank(), 0, gang.devices() - 1);
}

void CheckRun(WireCheck& check, const v1::RunSpec& run, const v1::Gang& gang) {
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

void CheckGang(WireCheck& check, const v1::Gang& gang) {
  check.In<uint32_t>("gang.devices", gang.devices(), 1, kDevicesMax);
  check.That(gang.kind() == v1::DEVICE_KIND_CPU || gang.kind() == v1::DEVICE_KIND_GPU, "gang.kind",
             "is a device kind that this version does not know");
  if (gang.has_per_node()) {
    check.In<uint32_t>("gang.per_node", gang.per_node(), 1, kPerNodeMax);
    check.That(gang.per_node() > 0 && gang.devices() % gang.per_node() == 0, "gang.per_node",
               "does not divide gang.devices");
  }
  check.That(v1::Within_IsValid(gang.within()), "gang.within",
             "is an island that this version does not know");
  check.That(gang.within() != v1::WITHIN_NODE || gang.preferred() || !gang.has_per_node() ||
                 gang.per_node() == gang.devices(),
             "gang.within", "is one node, and gang.per_node needs several");
  CheckTexts(check, "gang.models", gang.models(), kModelsMax);
  CheckTexts(check, "gang.nodes", gang.nodes(), kNodesMax);
  CheckLabels(check, "gang.labels", gang.labels(), kWordBytesMax);
}

void CheckLimits(WireCheck& check, const v1::Limits& limits) {
  check.In<Nanos>("limits.setup_ns", limits.setup_ns(), kPhaseMin, kPhaseMax);
  check.In<Nanos>("limits.prepare_ns", limits.prepare_ns(), kPhaseMin, kPhaseMax);
  // The derived limit stands on top of the longest window that is allowed.
  check.In<Nanos>("limits.measure_ns", limits.measure_ns(), kPhaseMin, kMeasureMax);
  check.In<Nanos>("limits.drain_ns", limits.drain_ns(), kPhaseMin, kPhaseMax);
  check.In<uint32_t>("limits.attempts", limits.attempts(), 1, kAttemptsMax);
  if (limits.has_stall_ns()) {
    check.In<Nanos>("limits.stall_ns", limits.stall_ns(), kPhaseMin, kPhaseMax);
  }
}

void CheckStanding(WireCheck& check, const v1::JobSpec& spec) {
  check.In<int32_t>("priority", spec.priority(), -kPriorityMax, kPriorityMax);
  check.In<Nanos>("grace_ns", spec.grace_ns(), 0, kGraceMax);
  if (spec.has_lease_max_ns()) {
    check.In<Nanos>("lease_max_ns", spec.lease_max_ns(), kLeaseMin, kLeaseMax);
  }
  if (!spec.has_budget()) return;
  const v1::Budget& budget = spec.budget();
  check.That(budget.has_wall_ns() || budget.has_node_seconds(), "budget", "limits nothing");
  if (budget.has_wall_ns()) check.In<Nanos>("budget.wall_ns", budget.wall_ns(), kPhaseMin, kMonth);
  if (budget.has_node_seconds()) {
    check.In("budget.node_seconds", budget.node_seconds(), kNodeHoursMin * 3600,
             kNodeHoursMax * 3600);
  }
}

}  // namespace

void CheckTexts(WireCheck& check, std::string_view field,
                const google::protobuf::RepeatedPtrField<std::string>& texts, size_t most) {
  check.In<size_t>(field, static_cast<size_t>(texts.size()), 0, most);
  for (const std::string& text : texts) check.In<size_t>(field, text.size(), 1, kWordBytesMax);
}

void CheckLabels(WireCheck& check, std::string_view field,
                 const google::protobuf::Map<std::string, std::string>& labels, size_t bytes_max) {
  check.In<size_t>(field, static_cast<size_t>(labels.size()), 0, kLabelsMax);
  for (const auto& [key, value] : labels) {
    check.In<size_t>(field, std::max(key.size(), value.size()), 0, bytes_max);
  }
}

absl::Status CheckJobBody(const v1::Job& job) {
  WireCheck check("job");
  check.That(IsJobName(job.name(), kNameMax), "name", "is not 1 to 63 of a-z, 0-9 and -");
  CheckLabels(check, "labels", job.labels(), kLabelBytesMax);
  check.In<size_t>("source", job.source().size(), 0, kSourceBytesMax);
  CheckGang(check, job.spec().gang());
  CheckStanding(check, job.spec());
  CheckLimits(check, job.spec().limits());
  check.In<uint64_t>("runs", static_cast<uint64_t>(job.spec().runs_size()), 1, kRunsMax);
  for (const v1::RunSpec& run : job.spec().runs()) {
    if (!check.status().ok()) break;
    CheckRun(check, run, job.spec().gang());
  }
  return check.status();
}

absl::Status CheckJob(const v1::Job& job) {
  WireCheck check("job");
  check.That(!job.has_part(), "part", "is set; it is for the jobs of a suite");
  check.That(!job.has_scheduled(), "scheduled", "is set; only the coordinator sets it");
  check.Take(CheckJobBody(job));
  return check.status();
}

}  // namespace rackmark
