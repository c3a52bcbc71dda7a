#include "worker/rank/workloads/null.h"

#include "worker/rank/hold.h"
#include "worker/rank/pacing.h"

namespace rackmark {
namespace {

// A step each millisecond on an absolute grid: unpaced, the loop would only measure how soon the
// ring overflows.
constexpr Nanos kStepInterval = kMillisecond;
constexpr uint32_t kSamplesPerStepMax = 1000;  // 1 M points/s, well below the ring's bound
constexpr Nanos kCancelCheck = 20 * kMillisecond;

class NullWorkload : public Workload {
 public:
  NullWorkload(const v1::NullWorkload& spec, const RunContext& context)
      : spec_(spec), context_(context) {}

  absl::Status Prepare() override {
    const double cost = MeasureNsPerSample(*context_.clock);
    Record(SeriesId::kInstrumentNsPerSample, cost);
    return absl::OkStatus();
  }

  absl::Status Measure() override {
    context_.progress->Phase(v1::RANK_PHASE_WARMING);
    // All ranks know how long one of them will hold, so none loses patience with it.
    if (spec_.hold().phase() == v1::HOLD_PHASE_MEASURING) {
      context_.gang->collective().SetCallLimit(kCollectiveLimit + spec_.hold().duration_ns());
    }
    RETURN_IF_ERROR(context_.gang->Barrier());
    context_.progress->Phase(v1::RANK_PHASE_MEASURING);
    // A hold makes this rank's window longer; its peers wait at the barrier behind theirs.
    const Nanos held = HoldTime(spec_.hold(), v1::HOLD_PHASE_MEASURING, context_.gang->rank());
    if (held > 0) context_.progress->Note(HoldWords(v1::HOLD_PHASE_MEASURING));
    const Nanos t0 = context_.clock->Monotonic();
    const Nanos t1 = t0 + held + spec_.duration_ns();
    if (context_.gang->rank() == 0) context_.recorder->Record(SeriesId::kWindowStart, t0, 1);
    for (Nanos at = t0; at < t1; at += kStepInterval) {
      // Also when it is behind its grid and never sleeps.
      if (context_.progress->Cancelled()) return absl::CancelledError("the run was cancelled");
      while (context_.clock->Monotonic() < at) {
        if (context_.progress->Cancelled()) return absl::CancelledError("the run was cancelled");
        SleepUntil(*context_.clock, at, kCancelCheck);
      }
      Step();
    }
    if (context_.gang->rank() == 0) context_.recorder->Record(SeriesId::kWindowEnd, t1, 1);
    return context_.gang->Barrier();
  }

  // There is no data to check; what is recorded here says how much was recorded.
  absl::Status Verify() override {
    Record(SeriesId::kNullSteps, static_cast<double>(steps_));
    Record(SeriesId::kNullSamples, static_cast<double>(samples_));
    return absl::OkStatus();
  }

  uint64_t BytesWanted() const override { return sizeof(Sample) * kRecorderCapacity; }

 private:
  // Each point is the time since the point before it, so their sum is what recording took.
  void Step() {
    Nanos before = context_.clock->Monotonic();
    for (uint32_t i = 0; i < spec_.samples_per_step(); ++i) {
      const Nanos now = context_.clock->Monotonic();
      context_.recorder->Record(SeriesId::kStepHost, now, static_cast<double>(now - before) / 1e9);
      before = now;
    }
    ++steps_;
    samples_ += spec_.samples_per_step();
  }

  void Record(SeriesId series, double value) {
    context_.recorder->Record(series, context_.clock->Monotonic(), value);
  }

  const v1::NullWorkload spec_;
  const RunContext context_;
  uint64_t steps_ = 0;
  uint64_t samples_ = 0;
};

}  // namespace

absl::Status CheckNull(const v1::RunSpec& spec, const Gang& /*gang*/) {
  if (spec.null().duration_ns() <= 0) {
    return absl::InvalidArgumentError("null.duration must be longer than 0");
  }
  if (spec.null().samples_per_step() > kSamplesPerStepMax) {
    return absl::InvalidArgumentError(absl::StrCat("null.samples_per_step is ",
                                                   spec.null().samples_per_step(), "; at most ",
                                                   kSamplesPerStepMax, " fit the recorder"));
  }
  return absl::OkStatus();
}

std::unique_ptr<Workload> MakeNull(const v1::RunSpec& spec, const RunContext& context) {
  return std::make_unique<NullWorkload>(spec.null(), context);
}

}  // namespace rackmark
