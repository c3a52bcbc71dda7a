// What one recorded sample costs in a rank's timed loop: reading the clock and recording, beside
// reading the clock alone, by turns. With user instructions per sample where the machine counts
// them.
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <vector>

#include "common/time.h"
#include "worker/rank/recorder.h"

namespace rackmark {
namespace {

constexpr uint64_t kSamples = 4'096;  // short, so that most turns are not interrupted
constexpr size_t kTurns = 2001;

// User instructions of this thread; missing where there is no counter, as in many virtual machines.
class InstructionCounter {
 public:
  InstructionCounter() {
    perf_event_attr attr{};
    attr.type = PERF_TYPE_HARDWARE;
    attr.size = sizeof attr;
    attr.config = PERF_COUNT_HW_INSTRUCTIONS;
    attr.exclude_kernel = 1;
    attr.exclude_hv = 1;
    fd_ = static_cast<int>(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
  }
  ~InstructionCounter() {
    if (fd_ >= 0) close(fd_);
  }
  InstructionCounter(const InstructionCounter&) = delete;
  InstructionCounter& operator=(const InstructionCounter&) = delete;
  std::optional<uint64_t> Read() const {
    uint64_t count = 0;
    if (fd_ < 0 || read(fd_, &count, sizeof count) != sizeof count) return std::nullopt;
    return count;
  }

 private:
  int fd_;
};

struct Cost {
  double ns;
  std::optional<double> instructions;
};

template <typename F>
Cost Time(const InstructionCounter& counter, F loop) {
  const auto before = counter.Read();
  const Nanos start = SystemClock().Monotonic();
  loop();
  const Nanos end = SystemClock().Monotonic();
  const auto after = counter.Read();
  Cost cost{static_cast<double>(end - start) / kSamples, std::nullopt};
  if (before && after) cost.instructions = static_cast<double>(*after - *before) / kSamples;
  return cost;
}

// The lower quartile: of the time that others took, as little as may be.
Cost Typical(std::vector<Cost> costs) {
  std::sort(costs.begin(), costs.end(), [](const Cost& a, const Cost& b) { return a.ns < b.ns; });
  return costs[costs.size() / 4];
}

void PrintLine(const char* what, const Cost& cost) {
  std::printf("  %-28s %6.1f ns", what, cost.ns);
  if (cost.instructions) {
    std::printf("  %6.1f instructions\n", *cost.instructions);
  } else {
    std::printf("  instructions: missing (no counter on this machine)\n");
  }
}

void Run() {
  const Clock& clock = SystemClock();
  const InstructionCounter counter;
  Recorder recorder(kSamples + 1);
  std::vector<Cost> recorded, read;
  int64_t sink = 0;
  for (size_t turn = 0; turn < kTurns; ++turn) {
    read.push_back(Time(counter, [&] {
      for (uint64_t i = 0; i < kSamples; ++i) sink += clock.Monotonic();
    }));
    recorded.push_back(Time(counter, [&] {
      for (uint64_t i = 0; i < kSamples; ++i) {
        recorder.Record(SeriesId::kStepHost, clock.Monotonic(), static_cast<double>(i));
      }
    }));
    Sample sample;
    while (recorder.Pop(&sample)) sink += sample.t_ns;
  }
  const Recorder::Dropped dropped = recorder.TakeDropped();
  std::printf("one recorded sample (lower quartile of %zu turns of %lu; %lu dropped; sum %ld)\n",
              kTurns, kSamples, dropped.results + dropped.telemetry, sink & 1);
  PrintLine("clock and record", Typical(recorded));
  PrintLine("clock alone", Typical(read));
}

}  // namespace
}  // namespace rackmark

int main() { rackmark::Run(); }
