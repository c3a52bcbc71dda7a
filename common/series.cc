#include "common/series.h"

#include <array>
#include <cstddef>

#include "common/status.h"

namespace rackmark {
namespace {

constexpr auto kR = SeriesClass::kResult;
constexpr auto kT = SeriesClass::kTelemetry;

constexpr std::array<SeriesInfo, static_cast<size_t>(SeriesId::kCount)> kTable = {{
    {SeriesId::kStepCompute, "step.compute", "s", kR, "own arithmetic in the step"},
    {SeriesId::kStepCollectiveWait, "step.collective_wait", "s", kR,
     "from own arrival to the last rank's arrival"},
    {SeriesId::kStepCollectiveTransfer, "step.collective_transfer", "s", kR,
     "from the last arrival to the result"},
    {SeriesId::kStepPlanWait, "step.plan_wait", "s", kR, "waiting for the step plan"},
    {SeriesId::kStepHost, "step.host", "s", kR, "batcher, sampling, recording"},
    {SeriesId::kStepDecodeTokens, "step.decode_tokens", "tokens", kR, "sequences decoding"},
    {SeriesId::kStepPrefillTokens, "step.prefill_tokens", "tokens", kR, "prompt tokens computed"},
    {SeriesId::kStepLateness, "step.lateness", "s", kR, "own arrivals after the first rank's"},
    {SeriesId::kRequestsRunning, "requests.running", "requests", kR, "holding KV blocks"},
    {SeriesId::kRequestsWaiting, "requests.waiting", "requests", kR, "arrived, not admitted"},
    {SeriesId::kKvBlocksUsed, "kv.blocks_used", "blocks", kR, "of the paged KV cache"},
    {SeriesId::kWastedSlots, "step.wasted_slots", "tokens", kR,
     "computed for a sequence that had already ended"},
    {SeriesId::kAllreduceBytes, "allreduce.bytes", "B", kR, "message size of one all-reduce"},
    {SeriesId::kAllreduceWait, "allreduce.wait", "s", kR, "own arrival to last arrival"},
    {SeriesId::kAllreduceTransfer, "allreduce.transfer", "s", kR, "last arrival to result"},
    {SeriesId::kAllgatherBytes, "allgather.bytes", "B", kR, "result size of one all-gather"},
    {SeriesId::kAllgatherWait, "allgather.wait", "s", kR, "own arrival to last arrival"},
    {SeriesId::kAllgatherTransfer, "allgather.transfer", "s", kR, "last arrival to result"},
    {SeriesId::kWindowStart, "window.start", "1", kR, "T0 of the measured window"},
    {SeriesId::kWindowEnd, "window.end", "1", kR, "T1 of the measured window"},
    {SeriesId::kReadBandwidth, "memory.read_bandwidth", "B/s", kR,
     "reads of a buffer as large as the rank's weights, all ranks at once"},
    {SeriesId::kWeightsBytes, "memory.weights", "B", kR, "the rank's weight shard"},
    {SeriesId::kKvBytes, "memory.kv", "B", kR, "the rank's KV cache"},
    {SeriesId::kInstrumentNsPerSample, "instrument.ns_per_sample", "ns", kR,
     "recording one sample, by the null workload"},
    {SeriesId::kVerifyChecked, "verify.checked", "tokens", kR, "compared outside the window"},
    {SeriesId::kVerifyWrong, "verify.wrong", "tokens", kR, "of those, different"},
    {SeriesId::kCalibrationRate, "load.capacity", "requests/s", kR, "closed-loop calibration"},
    {SeriesId::kRequestedRate, "load.rate", "requests/s", kR, "of the arrival schedule"},
    {SeriesId::kRequestsScheduled, "load.scheduled", "requests", kR, "arrivals in the window"},
    {SeriesId::kKvBlocksTotal, "kv.blocks_total", "blocks", kR, "of the paged KV cache"},
    {SeriesId::kFloorBytesPerStep, "floor.bytes_per_step", "B", kR,
     "weights that one decode step of the gang reads"},
    {SeriesId::kFloorBytesPerToken, "floor.bytes_per_token", "B", kR,
     "KV cache that one decoding sequence reads, mean"},
    {SeriesId::kGangTransport, "gang.transport", "1", kR,
     "of its collectives: 1 a gang of one has none, 2 shared memory, 3 Gloo, 4 NCCL, "
     "5 Gloo between hosts and shared memory inside them"},
    {SeriesId::kNullSteps, "null.steps", "steps", kR, "of the null workload"},
    {SeriesId::kNullSamples, "null.samples", "samples", kR, "recorded by the null workload"},
    {SeriesId::kRankRss, "rank.rss", "B", kT, "resident memory of the rank process"},
    {SeriesId::kRankCpu, "rank.cpu", "s", kT, "CPU time of the rank process so far"},
    {SeriesId::kHostMemoryUsed, "host.memory_used", "B", kT, "MemTotal - MemAvailable"},
    {SeriesId::kHostCpuBusy, "host.cpu_busy", "1", kT, "share of all CPUs since the last tick"},
    {SeriesId::kDaemonCpu, "daemon.cpu", "s", kT, "CPU time of the worker daemon so far"},
    {SeriesId::kNetworkReceived, "network.received", "B", kT, "all interfaces, since boot"},
    {SeriesId::kNetworkSent, "network.sent", "B", kT, "all interfaces, since boot"},
    {SeriesId::kTickLate, "host.tick_late", "s", kT, "telemetry tick after its due time"},
}};

}  // namespace

const SeriesInfo& Describe(SeriesId id) {
  const SeriesInfo& info = kTable[static_cast<size_t>(id)];
  RACKMARK_CHECK(info.id == id);
  return info;
}

std::optional<SeriesId> FindSeries(std::string_view name) {
  for (const SeriesInfo& info : kTable) {
    if (info.name == name) return info.id;
  }
  return std::nullopt;
}

}  // namespace rackmark
