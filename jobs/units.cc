#include "jobs/units.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "common/text.h"

namespace rackmark::units {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

absl::Status Wrong(std::string_view text, std::string_view what, std::string_view remedy) {
  return absl::InvalidArgumentError(absl::StrCat("\"", EscapeControl(text.substr(0, 64)), "\" ",
                                                 ToAbsl(what), "; ", ToAbsl(remedy)));
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// How much of `text` is digits with at most one point between digits.
size_t NumberLength(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && IsDigit(text[n])) ++n;
  if (n > 0 && n + 1 < text.size() && text[n] == '.' && IsDigit(text[n + 1])) {
    ++n;
    while (n < text.size() && IsDigit(text[n])) ++n;
  }
  return n;
}

// Sentence for a text that does not even start as a plain decimal number.
absl::Status CheckNumber(std::string_view text, std::string_view remedy) {
  if (text.empty()) return Wrong(text, "is empty", remedy);
  if (text[0] == '-') return Wrong(text, "is negative", remedy);
  std::string lower;
  for (const char c : text) lower += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  const size_t sign = lower[0] == '+' || lower[0] == '.' ? 1 : 0;
  if (lower.compare(sign, 3, "nan") == 0 || lower.compare(sign, 3, "inf") == 0) {
    return Wrong(text, "is not a finite number", remedy);
  }
  if (text.size() > 1 && text[0] == '0' && (lower[1] == 'x' || lower[1] == 'o')) {
    return Wrong(text, "is hexadecimal or octal", "write decimal digits");
  }
  if (text.size() > 1 && text[0] == '0' && IsDigit(text[1])) {
    return Wrong(text, "starts with 0, which YAML reads as octal",
                 "write decimal digits without the leading 0");
  }
  if (NumberLength(text) == 0) return Wrong(text, "is not a number", remedy);
  if (NumberLength(text) > 40) return Wrong(text, "has too many digits", remedy);
  return absl::OkStatus();
}

// Number times the unit's factor.
absl::StatusOr<double> ParseWithUnit(std::string_view text, const std::vector<Unit>& units,
                                     std::string_view remedy) {
  RETURN_IF_ERROR(CheckNumber(text, remedy));
  const size_t digits = NumberLength(text);
  std::string_view unit = text.substr(digits);
  if (!unit.empty() && unit[0] == ' ') unit.remove_prefix(1);
  if (unit.empty()) return Wrong(text, "has no unit", remedy);
  const double number = std::strtod(std::string(text.substr(0, digits)).c_str(), nullptr);
  std::vector<std::string> names;
  for (const Unit& candidate : units) {
    if (candidate.name == unit) return number * candidate.factor;
    names.emplace_back(candidate.name);
  }
  const std::string nearest = Nearest(unit, names);
  return Wrong(
      text, absl::StrCat("has an unknown unit \"", EscapeControl(unit.substr(0, 32)), "\""),
      nearest.empty() ? std::string(remedy) : absl::StrCat("did you mean \"", nearest, "\"?"));
}

}  // namespace

absl::StatusOr<uint64_t> ParseInteger(std::string_view text) {
  constexpr std::string_view kRemedy = "write a whole number in decimal digits";
  RETURN_IF_ERROR(CheckNumber(text, kRemedy));
  uint64_t value = 0;
  for (const char c : text) {
    if (!IsDigit(c)) return Wrong(text, "is not a whole number", kRemedy);
    const uint64_t digit = static_cast<uint64_t>(c - '0');
    if (value > (std::numeric_limits<uint64_t>::max() - digit) / 10) {
      return Wrong(text, "is too large", "write at most 18446744073709551615");
    }
    value = value * 10 + digit;
  }
  return value;
}

absl::StatusOr<double> ParseNumber(std::string_view text) {
  constexpr std::string_view kRemedy = "write a plain decimal number such as 0.25";
  RETURN_IF_ERROR(CheckNumber(text, kRemedy));
  if (NumberLength(text) != text.size()) return Wrong(text, "is not a plain number", kRemedy);
  return std::strtod(std::string(text).c_str(), nullptr);
}

absl::StatusOr<Nanos> ParseDuration(std::string_view text) {
  constexpr std::string_view kRemedy = "write a duration such as 20s (ns, us, ms, s, min, h)";
  static const std::vector<Unit> units = {{"ns", 1},  {"us", 1e3},   {"ms", 1e6},
                                          {"s", 1e9}, {"min", 6e10}, {"h", 3.6e12}};
  ASSIGN_OR_RETURN(const double ns, ParseWithUnit(text, units, kRemedy));
  if (ns > 9e18) return Wrong(text, "is too long", "write a duration of at most 290 years");
  // Beyond 2^53 ns (104 days) doubles skip values; the nearest one is meant.
  const double whole = std::nearbyint(ns);
  if (std::abs(whole - ns) > 1e-6 * std::max(1.0, std::abs(ns))) {
    return Wrong(text, "is finer than a nanosecond", kRemedy);
  }
  return static_cast<Nanos>(whole);
}

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  constexpr std::string_view kRemedy =
      "write a size such as 256MiB (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)";
  static const std::vector<Unit> units = {{"B", 1},        {"KB", 1e3},     {"MB", 1e6},
                                          {"GB", 1e9},     {"TB", 1e12},    {"KiB", 1024.0},
                                          {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
  ASSIGN_OR_RETURN(const double bytes, ParseWithUnit(text, units, kRemedy));
  if (bytes > 0x1p53) return Wrong(text, "is too large", "write at most 8192TiB");
  if (bytes != std::floor(bytes)) return Wrong(text, "is not a whole number of bytes", kRemedy);
  return static_cast<uint64_t>(bytes);
}

absl::StatusOr<double> ParseRate(std::string_view text) {
  constexpr std::string_view kRemedy = "write a rate such as 12/s (or 30/min)";
  static const std::vector<Unit> units = {{"/s", 1}, {"/min", 1.0 / 60}};
  ASSIGN_OR_RETURN(const double rate, ParseWithUnit(text, units, kRemedy));
  if (rate <= 0) return Wrong(text, "is no load at all", "write a rate above 0");
  return rate;
}

absl::StatusOr<double> ParsePercent(std::string_view text) {
  constexpr std::string_view kRemedy = "write a share such as 60%";
  static const std::vector<Unit> units = {{"%", 0.01}};
  ASSIGN_OR_RETURN(const double percent, ParseWithUnit(text, units, kRemedy));
  if (percent <= 0) return Wrong(text, "is nothing at all", "write a share above 0%");
  return percent;
}

}  // namespace rackmark::units
