#include "tests/sim/args.h"

#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace rackmark::sim {

const char* const kUsage =
    "usage: sim [--seed N | --seeds A..B] [--trace] [--workers N] [--knob NAME=VALUE]... "
    "[--plant NAME]";

namespace {

absl::Status ReadSeeds(const std::string& flag, const std::string& value, Args& args) {
  const size_t dots = value.find("..");
  const std::string last = dots == std::string::npos ? value : value.substr(dots + 2);
  const bool one = flag == "--seed";
  if (one == (dots == std::string::npos) && absl::SimpleAtoi(value.substr(0, dots), &args.first) &&
      absl::SimpleAtoi(last, &args.last) && args.first <= args.last) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(flag, " is \"", value, "\", must be ", one ? "a number" : "like 1..200"));
}

absl::Status ReadPair(const std::string& flag, const std::string& value, Args& args) {
  if (flag == "--seed" || flag == "--seeds") return ReadSeeds(flag, value, args);
  if (flag == "--workers") {
    args.knobs.emplace_back("workers", value);
    return absl::OkStatus();
  }
  if (flag == "--plant") {
    const std::optional<Plant> plant = PlantOf(value);
    if (!plant) return absl::InvalidArgumentError(absl::StrCat("no plant \"", value, "\""));
    args.plant = *plant;
    return absl::OkStatus();
  }
  const size_t equal = value.find('=');
  if (flag != "--knob") return absl::InvalidArgumentError(absl::StrCat("no flag ", flag));
  if (equal == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--knob is \"", value, "\", must be like workers=12"));
  }
  args.knobs.emplace_back(value.substr(0, equal), value.substr(equal + 1));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Args> ReadArgs(const std::vector<std::string>& words) {
  Args args;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--trace") {
      args.trace = true;
      continue;
    }
    if (i + 1 == words.size()) {
      return absl::InvalidArgumentError(absl::StrCat(words[i], " lacks its value, or is no flag"));
    }
    const std::string& flag = words[i];
    RETURN_IF_ERROR(ReadPair(flag, words[++i], args));
  }
  RETURN_IF_ERROR(KnobsOf(args, args.first).status());
  return args;
}

absl::StatusOr<Knobs> KnobsOf(const Args& args, uint64_t seed) {
  Knobs knobs = DrawKnobs(seed);
  knobs.plant = args.plant;
  for (const auto& [name, value] : args.knobs) RETURN_IF_ERROR(SetKnob(knobs, name, value));
  RETURN_IF_ERROR(CheckKnobs(knobs));
  return knobs;
}

std::string ReplayArgs(const Knobs& knobs) {
  std::string words = absl::StrCat("--seed ", knobs.seed);
  if (knobs.plant != Plant::kNone) absl::StrAppend(&words, " --plant ", NameOf(knobs.plant));
  const auto drawn = ListKnobs(DrawKnobs(knobs.seed));
  const auto wanted = ListKnobs(knobs);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == drawn[i]) continue;
    absl::StrAppend(&words, " --knob ", wanted[i].first, "=", wanted[i].second);
  }
  return words + " --trace";
}

bool Replays(const Knobs& knobs) {
  const std::vector<std::string> words = absl::StrSplit(ReplayArgs(knobs), ' ');
  const absl::StatusOr<Args> args = ReadArgs(words);
  if (!args.ok() || args->first != knobs.seed || args->last != knobs.seed) return false;
  const absl::StatusOr<Knobs> again = KnobsOf(*args, knobs.seed);
  return again.ok() && *again == knobs;
}

std::string Complaint(const std::string& program, const Knobs& knobs, const Violation& violation) {
  char at[32];
  std::snprintf(at, sizeof at, "%.6f",
                static_cast<double>(violation.at) / static_cast<double>(kSecond));
  return absl::StrCat(Describe(knobs), "\nseed ", knobs.seed, ", after ", at,
                      " s: ", violation.checker, ": ", violation.what, "\nreplay: ", program, " ",
                      ReplayArgs(knobs));
}

}  // namespace rackmark::sim
