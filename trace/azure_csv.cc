// A line of Azure's LLM inference trace: "2023-11-16 18:15:46.6805900,374,44".
#include <array>

#include "trace/lines.h"

namespace rackmark::trace_internal {
namespace {

constexpr std::string_view kTimeRemedy =
    "write YYYY-MM-DD HH:MM:SS with at most nine digits of a second, in UTC";

// Days from 1970-01-01 to a date of the Gregorian calendar.
int64_t DaysTo(int64_t year, int64_t month, int64_t day) {
  // Years begin in March here, so that the leap day is their last.
  const int64_t y = month <= 2 ? year - 1 : year;
  const int64_t months = (month + 9) % 12;
  const int64_t day_of_year = (153 * months + 2) / 5 + day - 1;
  return 365 * y + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

bool IsLeap(uint64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

// The number of `size` digits at `at`.
std::optional<uint64_t> Part(std::string_view text, size_t at, size_t size) {
  return WholeNumber(text.substr(at, size), 9999);
}

// The nineteen characters of date and time to seconds since 1970.
std::optional<int64_t> Seconds(std::string_view text) {
  if (text.size() != 19 || text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':' ||
      (text[10] != ' ' && text[10] != 'T')) {
    return std::nullopt;
  }
  const auto year = Part(text, 0, 4), month = Part(text, 5, 2), day = Part(text, 8, 2);
  const auto hour = Part(text, 11, 2), minute = Part(text, 14, 2), second = Part(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  static constexpr std::array<uint64_t, 12> kDays = {31, 28, 31, 30, 31, 30,
                                                     31, 31, 30, 31, 30, 31};
  // Nanoseconds since 1970 must fit 63 bits.
  if (*year < 1970 || *year > 2200 || *month < 1 || *month > 12) return std::nullopt;
  const uint64_t days = kDays[*month - 1] + (*month == 2 && IsLeap(*year) ? 1 : 0);
  if (*day < 1 || *day > days || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  const int64_t whole =
      DaysTo(static_cast<int64_t>(*year), static_cast<int64_t>(*month), static_cast<int64_t>(*day));
  return ((whole * 24 + static_cast<int64_t>(*hour)) * 60 + static_cast<int64_t>(*minute)) * 60 +
         static_cast<int64_t>(*second);
}

std::optional<Nanos> Time(std::string_view text) {
  for (const std::string_view utc : {std::string_view("Z"), std::string_view("+00:00")}) {
    if (text.size() > utc.size() && text.substr(text.size() - utc.size()) == utc) {
      text.remove_suffix(utc.size());
    }
  }
  const auto seconds = Seconds(text.substr(0, 19));
  if (!seconds) return std::nullopt;
  Nanos fraction = 0;
  if (text.size() > 19) {
    if (text[19] != '.') return std::nullopt;
    const auto read = FractionNanos(text.substr(20), kSecond);
    if (!read) return std::nullopt;
    fraction = *read;
  }
  return *seconds * kSecond + fraction;
}

}  // namespace

absl::StatusOr<Line> ReadAzureLine(std::string_view line) {
  const size_t first = line.find(',');
  const size_t second = first == line.npos ? line.npos : line.find(',', first + 1);
  if (second == line.npos || line.find(',', second + 1) != line.npos) {
    return Malformed("does not have the three columns of the header:", line,
                     "write timestamp,prompt tokens,output tokens");
  }
  const std::string_view when = line.substr(0, first);
  const auto time = Time(when);
  if (!time) return Malformed("TIMESTAMP is", when, kTimeRemedy);
  Line out;
  out.time_ns = *time;
  ASSIGN_OR_RETURN(out.prompt_tokens,
                   TokenCount(line.substr(first + 1, second - first - 1), "ContextTokens"));
  ASSIGN_OR_RETURN(out.output_tokens, TokenCount(line.substr(second + 1), "GeneratedTokens"));
  return out;
}

}  // namespace rackmark::trace_internal
