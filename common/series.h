// The catalogue of series: every stream of numbers that Rackmark records, with its unit, clock and
// meaning. Ranks and daemons write them by id, chunks carry them by name, reports read the unit
// here. Stamps are ns of CLOCK_MONOTONIC of the recording boot. A series not in this table does not
// exist.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rackmark {

enum class SeriesId : uint16_t {
  // One point per engine step, stamped at the step's end; by every rank.
  kStepCompute,
  kStepCollectiveWait,
  kStepCollectiveTransfer,
  kStepPlanWait,
  kStepHost,
  kStepDecodeTokens,   // sequences that decoded one token in this step
  kStepPrefillTokens,  // prompt tokens of this step
  kStepLateness,       // own arrivals after the first rank's, summed over the step's collectives
  // One point per engine step, by rank 0.
  kRequestsRunning,
  kRequestsWaiting,
  kKvBlocksUsed,
  kWastedSlots,
  // One point per collective, by every rank: value is bytes; the two after it follow in pairs.
  kAllreduceBytes,
  kAllreduceWait,
  kAllreduceTransfer,
  kAllgatherBytes,
  kAllgatherWait,
  kAllgatherTransfer,
  // Once per run, by every rank.
  kWindowStart,    // value 1, stamp T0; by rank 0
  kWindowEnd,      // value 1, stamp T1; by rank 0
  kReadBandwidth,  // measured before the window, all ranks at once
  kWeightsBytes,
  kKvBytes,
  kInstrumentNsPerSample,
  kVerifyChecked,  // tokens compared after the window
  kVerifyWrong,    // of those, different
  // Once per run, by rank 0.
  kCalibrationRate,  // requests/s of the closed-loop calibration
  kRequestedRate,    // requests/s of the arrival schedule
  kRequestsScheduled,
  kKvBlocksTotal,
  kFloorBytesPerStep,   // gang's weight bytes that one decode step reads
  kFloorBytesPerToken,  // gang's mean KV bytes that one decoding sequence reads in a step
  kGangTransport,       // how its collectives travel: a TransportCode
  // Null workload, once per run.
  kNullSteps,
  kNullSamples,
  // Telemetry, about once a second: the rank process by rank, the node by its daemon.
  kRankRss,
  kRankCpu,  // CPU seconds used so far
  kHostMemoryUsed,
  kHostCpuBusy,      // share of all CPUs since the last tick, 0..1
  kDaemonCpu,        // CPU seconds used so far
  kNetworkReceived,  // bytes since boot, all interfaces
  kNetworkSent,
  kTickLate,  // how long after its due time the daemon's telemetry tick came
  kCount,
};

// Values of gang.transport. Recorded numbers: never given a new meaning.
enum class TransportCode : int { kSolo = 1, kShm = 2, kGloo = 3, kNccl = 4, kMixed = 5 };

// Results may never be lost; telemetry may be dropped at a bound, counted.
enum class SeriesClass : uint8_t { kResult, kTelemetry };

struct SeriesInfo {
  SeriesId id;
  std::string_view name;
  std::string_view unit;
  SeriesClass klass;
  std::string_view meaning;
};

const SeriesInfo& Describe(SeriesId id);
std::optional<SeriesId> FindSeries(std::string_view name);

}  // namespace rackmark
