#include "cron/expression.h"

#include <array>
#include <bit>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/text.h"
#include "cron/field.h"

namespace rackmark::cron {
namespace {

template <typename... T>
absl::Status Wrong(const T&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

// The five fields that a name stands for, as CronJob has them.
absl::StatusOr<const char*> ReadName(std::string_view name) {
  static constexpr std::pair<const char*, const char*> kNames[] = {
      {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
      {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
      {"@hourly", "0 * * * *"},
  };
  std::vector<std::string> words;
  for (const auto& [known, fields] : kNames) {
    if (name == known) return fields;
    words.emplace_back(known);
  }
  if (name == "@every") {
    return Wrong(
        "@every counts from when it was asked, so two coordinators would disagree; write the "
        "minutes or hours, for example */30 * * * *");
  }
  const std::string near = Nearest(name, words);
  return Wrong(
      "\"", EscapeControl(name), "\" is no name of a schedule; ",
      near.empty() ? "write one of " + absl::StrJoin(words, " ") : "did you mean " + near + "?");
}

absl::StatusOr<std::vector<absl::string_view>> SplitFields(std::string_view text) {
  std::vector<absl::string_view> words =
      absl::StrSplit(ToAbsl(text), absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (!words.empty() && words[0][0] == '@') {
    ASSIGN_OR_RETURN(const char* fields, ReadName(FromAbsl(words[0])));
    if (words.size() > 1) return Wrong(words[0], " stands alone; remove what follows it");
    words = absl::StrSplit(absl::string_view(fields), ' ');
  }
  if (words.size() != kFields) {
    return Wrong("a schedule has 5 fields (minute, hour, day of month, month, day of week), not ",
                 words.size(), "; write for example 0 2 * * *, or @daily");
  }
  return words;
}

// Days that none of the months has would never come. Where the day of the week is restricted too,
// that alone makes a day match.
absl::Status CheckDays(const Expression& e) {
  constexpr uint32_t kLong = 0b1010110101010, kFebruary = 0b100;
  const int first = std::countr_zero(e.days);
  if (e.any_day || !e.any_weekday || first <= 29 || (e.months & kLong) != 0 ||
      (first == 30 && e.months != kFebruary)) {
    return absl::OkStatus();
  }
  return Wrong("day of month ", first, " is in none of the months named, so it would never come; ",
               "write a day up to ", e.months == kFebruary ? 29 : 30, ", or other months");
}

}  // namespace

absl::StatusOr<Expression> Parse(std::string_view text) {
  if (text.size() > kExpressionLengthMax) {
    return Wrong("a schedule of ", text.size(), " characters is too long; write at most ",
                 kExpressionLengthMax);
  }
  for (const std::string_view prefix : {"TZ=", "CRON_TZ="}) {
    if (text.substr(0, prefix.size()) == prefix) {
      return Wrong(ToAbsl(prefix), " is not read in a schedule; write timeZone: beside it");
    }
  }
  ASSIGN_OR_RETURN(const auto words, SplitFields(text));
  std::array<Values, kFields> values;
  for (size_t i = 0; i < kFields; ++i) {
    ASSIGN_OR_RETURN(values[i], ReadField(FieldAt(i), FromAbsl(words[i])));
  }
  Expression e;
  e.minutes = values[0].bits;
  e.hours = static_cast<uint32_t>(values[1].bits);
  e.days = static_cast<uint32_t>(values[2].bits);
  e.months = static_cast<uint32_t>(values[3].bits);
  e.weekdays = static_cast<uint32_t>(values[4].bits);
  e.any_day = values[2].star;
  e.any_weekday = values[4].star;
  RETURN_IF_ERROR(CheckDays(e));
  return e;
}

std::string Format(const Expression& e) {
  // Outside the day fields a star is only a short way to name all values.
  const auto full = [](size_t field, uint64_t bits) {
    return std::popcount(bits) == static_cast<int>(FieldAt(field).max - FieldAt(field).min + 1);
  };
  const std::array<Values, kFields> values = {Values{e.minutes, full(0, e.minutes)},
                                              {e.hours, full(1, e.hours)},
                                              {e.days, e.any_day},
                                              {e.months, full(3, e.months)},
                                              {e.weekdays, e.any_weekday}};
  std::vector<std::string> words;
  for (size_t i = 0; i < kFields; ++i) words.push_back(FormatField(FieldAt(i), values[i]));
  return absl::StrJoin(words, " ");
}

}  // namespace rackmark::cron
