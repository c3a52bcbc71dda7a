// The bounds of every number in a job, for the YAML reader and for the check of a Job from the wire
// alike: one place, so that both sides refuse the same things.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/time.h"

namespace rackmark::bounds {

constexpr uint32_t kDevicesMax = 65536;
constexpr uint32_t kPerNodeMax = 1024;
constexpr uint64_t kRunsMax = 10000;  // product of the sweep and its repeats
constexpr uint32_t kRepeatsMax = 1000;
constexpr uint32_t kAttemptsMax = 10;
constexpr size_t kNameMax = 63;
constexpr size_t kLabelsMax = 32;
constexpr size_t kLabelBytesMax = 256;  // of a job's own labels
constexpr size_t kWordBytesMax = 253;   // of a node's names and labels, as a node can have them
constexpr size_t kSourceBytesMax = 1 << 20;

constexpr Nanos kPhaseMin = 100 * kMillisecond;
constexpr Nanos kPhaseMax = 24 * 3600 * kSecond;  // of set-up, prepare, drain and the window
constexpr Nanos kMeasureMax = 48 * 3600 * kSecond;
constexpr Nanos kWarmupMax = 3600 * kSecond;
constexpr Nanos kHoldMax = 3600 * kSecond;

constexpr int32_t kPriorityMax = 1000;  // and as far below 0
constexpr Nanos kGraceMax = 3600 * kSecond;
constexpr Nanos kGraceDefault = 30 * kSecond;
constexpr Nanos kMonth = 31 * 24 * 3600 * kSecond;
constexpr Nanos kLeaseMin = kSecond;  // of lease_max
constexpr Nanos kLeaseMax = 30 * 24 * 3600 * kSecond;
constexpr double kNodeHoursMin = 1e-4;
constexpr double kNodeHoursMax = 1e7;
constexpr size_t kModelsMax = 16;  // that a gang may name
constexpr size_t kNodesMax = 4096;

constexpr size_t kPartsMax = 100;  // jobs of a suite
constexpr size_t kSlotsMax = 16384;
constexpr uint32_t kLinksMax = 1024;
constexpr Nanos kExpectWaitMax = 60 * kSecond;
constexpr Nanos kExpectWaitDefault = 20 * kSecond;

constexpr size_t kScheduleNameMax = 52;  // what comes of it has the instant behind the name
constexpr Nanos kStartingDeadlineMin = 10 * kSecond;  // a change of leaders must not miss a night
constexpr Nanos kJitterMax = 24 * 3600 * kSecond;
constexpr size_t kWindowsMax = 64;
constexpr uint32_t kHistoryLimitMax = 200;

constexpr uint32_t kBlockTokensMax = 512;
constexpr uint64_t kKvBytesMin = 1 << 20;
constexpr uint64_t kKvBytesMax = uint64_t{1} << 50;
constexpr uint32_t kBatchMax = 4096;
constexpr uint32_t kPrefillChunkMax = 65536;
constexpr uint32_t kTokensMax = 1 << 20;
constexpr uint32_t kSamplesPerStepMax = 1000;  // a step each ms: what the recorder can take
constexpr double kRateMin = 0.001;
constexpr double kRateMax = 1e6;
constexpr double kShareMin = 0.01;
constexpr double kShareMax = 10;
constexpr double kScaleMin = 1e-6;  // of a trace's gaps and lengths
constexpr double kScaleMax = 1e6;
constexpr uint64_t kRequestLimitMax = 1'000'000'000;
constexpr size_t kTraceNameMax = 255;
constexpr uint64_t kTraceBytesMax = 64 << 20;

// Time after the window in which its requests may still complete and count as delivered.
constexpr Nanos GraceOf(Nanos window) {
  return window / 10 > 2 * kSecond ? window / 10 : 2 * kSecond;
}
// What the default measure limit allows beyond the planned phases: verification, a slow machine.
constexpr Nanos kMeasureSlack = 60 * kSecond;

}  // namespace rackmark::bounds
