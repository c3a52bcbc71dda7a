// sim --seed N [--trace]: one simulation. sim --seeds A..B: all of them, with figures. Exit status
// 1: a law was broken, and the last line is the command that shows it again. 2: bad usage.
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "common/log.h"
#include "tests/sim/args.h"

namespace rackmark::sim {
namespace {

void Print(const Stats& sum, uint64_t seeds, double seconds, double virtual_seconds) {
  const auto messages = static_cast<double>(sum.messages + sum.frames);
  std::printf(
      "%llu seeds, %.0f s of virtual time in %.1f s; %llu messages over the network, "
      "%llu frames between daemons and ranks, %llu commands, %llu events; %.0f messages "
      "a second\n",
      static_cast<unsigned long long>(seeds), virtual_seconds, seconds,
      static_cast<unsigned long long>(sum.messages), static_cast<unsigned long long>(sum.frames),
      static_cast<unsigned long long>(sum.commands), static_cast<unsigned long long>(sum.events),
      messages / seconds);
  for (const auto& [what, count] : sum.happened) {
    std::printf("  %8llu %s\n", static_cast<unsigned long long>(count), what.c_str());
  }
}

int BadUsage(const absl::Status& why) {
  std::fprintf(stderr, "%s\n%s\n", std::string(FromAbsl(why.message())).c_str(), kUsage);
  return 2;
}

int Main(int argc, char** argv) {
  InitLog("sim", LogLevel::kError);
  const absl::StatusOr<Args> args = ReadArgs(std::vector<std::string>(argv + 1, argv + argc));
  if (!args.ok()) return BadUsage(args.status());
  Stats sum;
  double virtual_seconds = 0;
  const auto began = std::chrono::steady_clock::now();
  for (uint64_t seed = args->first; seed <= args->last; ++seed) {
    const absl::StatusOr<Knobs> knobs = KnobsOf(*args, seed);
    if (!knobs.ok()) return BadUsage(knobs.status());
    const Result result = Simulate(*knobs, args->trace ? stdout : nullptr);
    Add(result.stats, sum);
    virtual_seconds += static_cast<double>(result.took) / static_cast<double>(kSecond);
    if (!result.violation) continue;
    std::printf("%s\n", Complaint(argv[0], *knobs, *result.violation).c_str());
    return 1;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  Print(sum, args->last - args->first + 1, took.count(), virtual_seconds);
  return 0;
}

}  // namespace
}  // namespace rackmark::sim

int main(int argc, char** argv) { return rackmark::sim::Main(argc, argv); }
