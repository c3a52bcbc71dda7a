// The instrument: the timed loop writes fixed-size records into a preallocated ring; no lock, no
// text, no allocation, no clock read of its own. Text and packing happen in the emitter. Record is
// for one thread (the runner's), Pop and TakeDropped for one other (who holds the emitter's lock).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "common/series.h"
#include "common/time.h"
#include "worker/rank/spsc_ring.h"

namespace rackmark {

// At a drain every 100 ms it holds 2.6 million points a second.
constexpr size_t kRecorderCapacity = size_t{1} << 18;

struct Sample {
  int64_t t_ns = 0;
  double value = 0;
  SeriesId series = SeriesId::kCount;
};

class Recorder {
 public:
  explicit Recorder(size_t capacity = kRecorderCapacity) : ring_(capacity) {}

  void Record(SeriesId series, Nanos t_ns, double value) {
    if (!ring_.TryPush({t_ns, value, series})) CountDropped(series);
  }

  bool Pop(Sample* sample) { return ring_.TryPop(sample); }

  struct Dropped {
    uint64_t results = 0;
    uint64_t telemetry = 0;
  };
  // What did not fit since the last call.
  Dropped TakeDropped();
  size_t capacity() const { return ring_.capacity(); }

 private:
  void CountDropped(SeriesId series);

  SpscRing<Sample> ring_;
  std::atomic<uint64_t> dropped_results_{0};
  std::atomic<uint64_t> dropped_telemetry_{0};
};

// What recording one sample costs, in ns, clock read included: the null workload's inner loop on a
// recorder of its own, without a consumer. The median of several passes.
double MeasureNsPerSample(const Clock& clock);

}  // namespace rackmark
