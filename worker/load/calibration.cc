#include "worker/load/calibration.h"

#include <algorithm>

namespace rackmark {

void Calibration::Open(Nanos now) {
  open_ = now;
  prompt_tokens_ = 0;
  output_tokens_ = 0;
  ended_ = 0;
}

void Calibration::Step(uint64_t prompt_tokens, uint64_t output_tokens, uint64_t requests_ended) {
  prompt_tokens_ += prompt_tokens;
  output_tokens_ += output_tokens;
  ended_ += requests_ended;
}

bool Calibration::Enough(Nanos now, Nanos calibration_ns, uint64_t batch) const {
  const Nanos elapsed = now - open_;
  if (elapsed < calibration_ns) return false;
  return ended_ >= batch || elapsed >= kStretchMax * calibration_ns;
}

absl::StatusOr<double> Calibration::Capacity(Nanos now) const {
  const Nanos elapsed = now - open_;
  if (elapsed <= 0 || ended_ == 0 || prompt_tokens_ == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the calibration ended after ", ToAbsl(FormatDuration(elapsed)), " with ",
                     ended_, " requests completed and ", prompt_tokens_,
                     " prompt tokens computed; a capacity needs some of both: raise "
                     "load.calibration or lower load.output_tokens"));
  }
  const double seconds = static_cast<double>(elapsed) / 1e9;
  const double by_output = static_cast<double>(output_tokens_) / mean_.output_tokens / seconds;
  const double by_prompt = static_cast<double>(prompt_tokens_) / mean_.prompt_tokens / seconds;
  return std::min(by_output, by_prompt);
}

}  // namespace rackmark
