// The open-loop load: every arrival is planned before T0, from the seed alone, at an absolute
// offset from T0, so that a slow engine cannot slow the load down (no coordinated omission).
// Arrivals and lengths come from streams of their own: other lengths do not move an arrival,
// another rate does not change the lengths. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/random.h"
#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/job.pb.h"
#include "trace/replay.h"

namespace rackmark {

// Bound of one schedule (law 5); more is refused with the remedy, never cut off.
constexpr size_t kArrivalsMax = 10'000'000;

struct Lengths {
  uint32_t prompt_tokens = 0;
  uint32_t output_tokens = 0;
};

// Uniform lengths, both ends included; each purpose has its own stream of the seed. Or those of a
// trace, in its order, again and again.
class LengthSource {
 public:
  enum class Purpose : uint64_t { kMeasure = 1, kClosedLoop = 2 };
  LengthSource(const v1::Load& load, uint64_t seed, Purpose purpose);
  explicit LengthSource(const Replay& replay);
  Lengths Next();

 private:
  v1::IntRange prompt_;
  v1::IntRange output_;
  Random prompt_random_;
  Random output_random_;
  std::vector<Lengths> cycle_;  // of a trace
  size_t next_ = 0;             // in cycle_
};

// The mean of what LengthSource draws.
struct MeanLengths {
  double prompt_tokens = 0;
  double output_tokens = 0;
};
MeanLengths MeanOf(const v1::Load& load);
MeanLengths MeanOf(const Replay& replay);

struct Arrival {
  Nanos offset_ns = 0;  // from T0, in [0, duration)
  Lengths lengths;
};

// The refusals of a load that cannot be run, as sentences.
absl::Status CheckLoad(const v1::Load& load);

// All arrivals of [0, load.duration_ns), ascending. `rate` is in requests/s. RESOURCE_EXHAUSTED
// over kArrivalsMax.
absl::StatusOr<std::vector<Arrival>> MakeSchedule(const v1::Load& load, double rate, uint64_t seed);
// Those of a trace, which has its own bounds.
std::vector<Arrival> MakeSchedule(const Replay& replay);

}  // namespace rackmark
