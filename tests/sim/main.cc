// sim --seed N [--trace]: one simulation. sim --seeds A..B: all of them, with figures. Exit status
// 1: a law was broken, and the last line is the command that shows it again.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "tests/sim/simulation.h"

namespace rackmark::sim {
namespace {

struct Args {
  uint64_t first = 1, last = 1;
  bool trace = false;
  std::optional<uint32_t> workers;
  Plant plant = Plant::kNone;
};

bool ReadNumber(std::string_view text, uint64_t* out) {
  return absl::SimpleAtoi(ToAbsl(text), out);
}

std::optional<Args> Read(int argc, char** argv) {
  Args args;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--trace") {
      args.trace = true;
      continue;
    }
    if (i + 1 >= argc) return std::nullopt;
    const std::string_view value = argv[++i];
    uint64_t number = 0;
    const size_t dots = value.find("..");
    if (flag == "--seeds" && dots != std::string_view::npos) {
      if (!ReadNumber(value.substr(0, dots), &args.first)) return std::nullopt;
      if (!ReadNumber(value.substr(dots + 2), &args.last)) return std::nullopt;
    } else if (flag == "--seed" && ReadNumber(value, &number)) {
      args.first = args.last = number;
    } else if (flag == "--workers" && ReadNumber(value, &number) && number > 0 &&
               number <= 10'000) {
      args.workers = static_cast<uint32_t>(number);
    } else if (flag == "--plant" && ReadNumber(value, &number)) {
      args.plant = static_cast<Plant>(number);
    } else {
      return std::nullopt;
    }
  }
  return args;
}

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

int Main(int argc, char** argv) {
  InitLog("sim", LogLevel::kError);
  const std::optional<Args> args = Read(argc, argv);
  if (!args) {
    std::fprintf(stderr, "usage: sim [--seed N | --seeds A..B] [--trace] [--workers N]\n");
    return 2;
  }
  Stats sum;
  double virtual_seconds = 0;
  const auto began = std::chrono::steady_clock::now();
  for (uint64_t seed = args->first; seed <= args->last; ++seed) {
    Knobs knobs = DrawKnobs(seed);
    knobs.plant = args->plant;
    if (args->workers) knobs.workers = *args->workers;
    const Result result = Simulate(knobs, args->trace ? stdout : nullptr);
    Add(result.stats, sum);
    virtual_seconds += static_cast<double>(result.took) / static_cast<double>(kSecond);
    if (!result.violation) continue;
    std::printf("%s\nseed %llu, after %.6f s: %s: %s\nreplay: %s --seed %llu --trace%s\n",
                Describe(knobs).c_str(), static_cast<unsigned long long>(seed),
                static_cast<double>(result.violation->at) / static_cast<double>(kSecond),
                result.violation->checker.c_str(), result.violation->what.c_str(), argv[0],
                static_cast<unsigned long long>(seed),
                args->workers ? absl::StrCat(" --workers ", *args->workers).c_str() : "");
    return 1;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  Print(sum, args->last - args->first + 1, took.count(), virtual_seconds);
  return 0;
}

}  // namespace
}  // namespace rackmark::sim

int main(int argc, char** argv) { return rackmark::sim::Main(argc, argv); }
