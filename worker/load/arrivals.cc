#include "worker/load/arrivals.h"

#include <cmath>

namespace rackmark {
namespace {

// Streams of the run's seed that this room owns; other rooms use other numbers.
constexpr uint64_t kStreamArrivals = 0x61727269;  // "arri"
constexpr uint64_t kStreamPrompts = 0x70726f6d;   // "prom"
constexpr uint64_t kStreamOutputs = 0x6f757470;   // "outp"

uint64_t StreamFor(uint64_t base, LengthSource::Purpose purpose) {
  return base << 8 | static_cast<uint64_t>(purpose);
}

absl::Status CheckRange(const v1::IntRange& range, std::string_view name) {
  if (range.min() >= 1 && range.min() <= range.max()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("load.", ToAbsl(name), " is ", range.min(), "..",
                                                 range.max(), "; it needs 1 <= min <= max"));
}

// Offsets of one arrival process in seconds. The n-th constant arrival is n / rate and not a
// running sum, which would drift by a rounding error per arrival.
class OffsetSource {
 public:
  OffsetSource(v1::ArrivalProcess process, double rate, uint64_t seed)
      : poisson_(process == v1::ARRIVAL_PROCESS_POISSON),
        rate_(rate),
        random_(seed, kStreamArrivals) {}

  double Next() {
    if (!poisson_) return static_cast<double>(n_++) / rate_;
    sum_ += random_.Exponential(1.0 / rate_);
    return sum_;
  }

 private:
  bool poisson_;
  double rate_;
  Random random_;
  uint64_t n_ = 0;
  double sum_ = 0;
};

absl::Status TooMany(double rate, Nanos duration_ns) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "a load of ", rate, " requests/s for ", ToAbsl(FormatDuration(duration_ns)),
      " is over the bound of ", kArrivalsMax, " requests; lower load.rate or load.duration"));
}

}  // namespace

LengthSource::LengthSource(const v1::Load& load, uint64_t seed, Purpose purpose)
    : prompt_(load.prompt_tokens()),
      output_(load.output_tokens()),
      prompt_random_(seed, StreamFor(kStreamPrompts, purpose)),
      output_random_(seed, StreamFor(kStreamOutputs, purpose)) {}

LengthSource::LengthSource(const Replay& replay) : prompt_random_(0, 0), output_random_(0, 0) {
  cycle_.reserve(replay.requests.size());
  for (const ReplayRequest& request : replay.requests) {
    cycle_.push_back({request.prompt_tokens, request.output_tokens});
  }
}

Lengths LengthSource::Next() {
  if (!cycle_.empty()) return cycle_[next_++ % cycle_.size()];
  return {static_cast<uint32_t>(prompt_random_.Between(prompt_.min(), prompt_.max())),
          static_cast<uint32_t>(output_random_.Between(output_.min(), output_.max()))};
}

MeanLengths MeanOf(const v1::Load& load) {
  const auto mean = [](const v1::IntRange& r) {
    return (static_cast<double>(r.min()) + static_cast<double>(r.max())) / 2;
  };
  return {mean(load.prompt_tokens()), mean(load.output_tokens())};
}

MeanLengths MeanOf(const Replay& replay) {
  const auto n = static_cast<double>(replay.requests.size());
  return {static_cast<double>(replay.input_tokens) / n,
          static_cast<double>(replay.output_tokens) / n};
}

absl::Status CheckLoad(const v1::Load& load) {
  if (load.duration_ns() <= 0) {
    return absl::InvalidArgumentError("load.duration must be longer than 0");
  }
  if (load.warmup_ns() < 0) return absl::InvalidArgumentError("load.warmup is negative");
  if (load.has_trace()) return absl::OkStatus();  // checked where its file is read
  RETURN_IF_ERROR(CheckRange(load.prompt_tokens(), "prompt_tokens"));
  RETURN_IF_ERROR(CheckRange(load.output_tokens(), "output_tokens"));
  if (load.arrivals() != v1::ARRIVAL_PROCESS_POISSON &&
      load.arrivals() != v1::ARRIVAL_PROCESS_CONSTANT) {
    return absl::InvalidArgumentError(
        absl::StrCat("load.arrivals has the number ", static_cast<int>(load.arrivals()),
                     ", which this build does not know; it knows poisson and constant"));
  }
  if (load.has_auto_()) {
    if (load.auto_().share() > 0 && load.auto_().calibration_ns() > 0) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "load.rate auto needs a share and a calibration time above 0");
  }
  if (load.requests_per_second() > 0 && std::isfinite(load.requests_per_second())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("load.rate must be auto or a finite number above 0");
}

std::vector<Arrival> MakeSchedule(const Replay& replay) {
  std::vector<Arrival> schedule;
  schedule.reserve(replay.requests.size());
  for (const ReplayRequest& request : replay.requests) {
    schedule.push_back({request.offset_ns, {request.prompt_tokens, request.output_tokens}});
  }
  return schedule;
}

absl::StatusOr<std::vector<Arrival>> MakeSchedule(const v1::Load& load, double rate,
                                                  uint64_t seed) {
  RETURN_IF_ERROR(CheckLoad(load));
  if (!(rate > 0) || !std::isfinite(rate)) {
    return absl::InvalidArgumentError(absl::StrCat("an arrival rate of ", rate, " is no rate"));
  }
  const double duration_s = static_cast<double>(load.duration_ns()) / 1e9;
  const double expected = rate * duration_s;
  if (expected > static_cast<double>(kArrivalsMax)) return TooMany(rate, load.duration_ns());
  std::vector<Arrival> schedule;
  // Six standard deviations over the mean: one allocation in practice.
  schedule.reserve(static_cast<size_t>(expected + 6 * std::sqrt(expected) + 16));
  OffsetSource offsets(load.arrivals(), rate, seed);
  LengthSource lengths(load, seed, LengthSource::Purpose::kMeasure);
  while (true) {
    const double at_s = offsets.Next();
    // Compared in seconds first: the offset as ns may not fit an integer.
    if (at_s >= duration_s) break;
    const auto at = static_cast<Nanos>(at_s * 1e9);
    if (at >= load.duration_ns()) break;
    if (schedule.size() >= kArrivalsMax) return TooMany(rate, load.duration_ns());
    schedule.push_back({at, lengths.Next()});
  }
  return schedule;
}

}  // namespace rackmark
