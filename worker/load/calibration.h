// The capacity of an engine from a closed loop that keeps the batch full (PROTOCOL 5). Pure.
//
// Method: the loop starts in the warm-up and is not drained before the calibration, so that the
// requests in flight have mixed ages and neither an empty batch at the beginning nor a drain at the
// end is inside the interval. In it, tokens are counted, not requests: output tokens/s over the
// mean output length, and prompt tokens/s over the mean prompt length, are both requests/s. In a
// steady state they agree; while they do not (a burst of prefill, or of decoding) the smaller one
// counts, so that a share of it is really below saturation.
#pragma once

#include <cstdint>
#include <optional>

#include "common/status.h"
#include "common/time.h"
#include "worker/load/arrivals.h"

namespace rackmark {

class Calibration {
 public:
  explicit Calibration(MeanLengths mean) : mean_(mean) {}

  // The interval opens; what was counted before is dropped.
  void Open(Nanos now);
  // One engine step ended: what it did.
  void Step(uint64_t prompt_tokens, uint64_t output_tokens, uint64_t requests_ended);
  // It lasts calibration_ns, and longer, up to kStretchMax times, while fewer requests ended than
  // are needed to cover their life: `batch` of them.
  bool Enough(Nanos now, Nanos calibration_ns, uint64_t batch) const;
  // Requests/s. FAILED_PRECONDITION with the remedy if the interval saw too little.
  absl::StatusOr<double> Capacity(Nanos now) const;

  static constexpr int kStretchMax = 4;

 private:
  MeanLengths mean_;
  Nanos open_ = 0;
  uint64_t prompt_tokens_ = 0;
  uint64_t output_tokens_ = 0;
  uint64_t ended_ = 0;
};

}  // namespace rackmark
