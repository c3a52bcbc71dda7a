// A cron expression as CronJob reads it: five fields (minute, hour, day of month, month, day of
// week) or one of @yearly @annually @monthly @weekly @daily @midnight @hourly. Pure values.
//
//   field = part {"," part};  part = ("*" | "?" | value ["-" value]) ["/" step]
//   "5/10" is "5-59/10"; months jan-dec, days sun-sat in either case; days of week 0-6, Sunday = 0
//   if both day fields are restricted, a day matches that either of them names; "*", "?" and "*/1"
//   restrict nothing, "*/2" and "1-31" do. (Vixie's cron takes "*/2" for a star; CronJob does not.)
//
// Refused with the remedy, though CronJob's library takes them: "@every" (it has no instants that
// two coordinators would agree on), empty parts, "*-5", steps over the whole field ("*/90"), and
// days that no month has ("31 2").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/status.h"

namespace rackmark::cron {

constexpr size_t kExpressionLengthMax = 256;

struct Expression {
  uint64_t minutes = 0;   // bit n: minute n
  uint32_t hours = 0;     // bit n: hour n
  uint32_t days = 0;      // bit n: the n-th of the month, 1-31
  uint32_t months = 0;    // bit n: month n, 1-12
  uint32_t weekdays = 0;  // bit n: 0 = Sunday
  bool any_day = false;   // the day of the month has a star in it
  bool any_weekday = false;

  bool operator==(const Expression&) const = default;
  // All hours of a day are named: the rule is "every so many minutes", not "at this time of day".
  bool EveryHour() const { return hours == (1U << 24) - 1; }
};

// Errors are "<field> <what is wrong>; <remedy>".
absl::StatusOr<Expression> Parse(std::string_view text);

// Five fields that Parse reads as this expression again.
std::string Format(const Expression& expression);

}  // namespace rackmark::cron
