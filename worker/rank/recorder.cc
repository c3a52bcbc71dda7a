#include "worker/rank/recorder.h"

#include <algorithm>
#include <array>

namespace rackmark {

Recorder::Dropped Recorder::TakeDropped() {
  return {dropped_results_.exchange(0, std::memory_order_relaxed),
          dropped_telemetry_.exchange(0, std::memory_order_relaxed)};
}

void Recorder::CountDropped(SeriesId series) {
  auto& counter =
      Describe(series).klass == SeriesClass::kResult ? dropped_results_ : dropped_telemetry_;
  counter.fetch_add(1, std::memory_order_relaxed);
}

double MeasureNsPerSample(const Clock& clock) {
  // Short, because runs that follow each other wait for it.
  constexpr size_t kSamples = 2048;
  std::array<double, 9> passes{};
  for (double& pass : passes) {
    Recorder scratch(kSamples);
    const Nanos start = clock.Monotonic();
    for (size_t i = 0; i < kSamples; ++i) {
      const Nanos now = clock.Monotonic();
      scratch.Record(SeriesId::kStepHost, now, static_cast<double>(i));
    }
    pass = static_cast<double>(clock.Monotonic() - start) / static_cast<double>(kSamples);
  }
  std::nth_element(passes.begin(), passes.begin() + passes.size() / 2, passes.end());
  return passes[passes.size() / 2];
}

}  // namespace rackmark
