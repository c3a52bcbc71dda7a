#include "cron/civil.h"

#include <algorithm>
#include <bit>

namespace rackmark::cron {
namespace {

bool Has(uint64_t bits, int value) { return (bits >> value & 1) != 0; }

// The lowest, or highest, bit of those in [first, last]; none of them: nullopt.
std::optional<int> Lowest(uint64_t bits, int first, int last) {
  const uint64_t in = bits & (~uint64_t{0} << first);
  if (in == 0 || std::countr_zero(in) > last) return std::nullopt;
  return std::countr_zero(in);
}

std::optional<int> Highest(uint64_t bits, int last) {
  const uint64_t in = bits & (~uint64_t{0} >> (63 - last));
  if (in == 0) return std::nullopt;
  return 63 - std::countl_zero(in);
}

// The first named minute of the day at or after from.
std::optional<absl::CivilMinute> FirstOfDay(const Expression& e, absl::CivilMinute from) {
  const absl::CivilDay day(from);
  if (Has(e.hours, from.hour())) {
    if (const auto minute = Lowest(e.minutes, from.minute(), 59)) {
      return absl::CivilMinute(day.year(), day.month(), day.day(), from.hour(), *minute);
    }
  }
  const auto hour = Lowest(e.hours, from.hour() + 1, 23);
  if (!hour) return std::nullopt;
  return absl::CivilMinute(day.year(), day.month(), day.day(), *hour, std::countr_zero(e.minutes));
}

// The last named minute of the day at or before to.
std::optional<absl::CivilMinute> LastOfDay(const Expression& e, absl::CivilMinute to) {
  const absl::CivilDay day(to);
  if (Has(e.hours, to.hour())) {
    if (const auto minute = Highest(e.minutes, to.minute())) {
      return absl::CivilMinute(day.year(), day.month(), day.day(), to.hour(), *minute);
    }
  }
  if (to.hour() == 0) return std::nullopt;
  const auto hour = Highest(e.hours, to.hour() - 1);
  if (!hour) return std::nullopt;
  return absl::CivilMinute(day.year(), day.month(), day.day(), *hour, *Highest(e.minutes, 59));
}

}  // namespace

bool MatchesDay(const Expression& e, absl::CivilDay day) {
  if (!Has(e.months, day.month())) return false;
  // absl counts the week from Monday = 0, cron from Sunday = 0.
  const int weekday = (static_cast<int>(absl::GetWeekday(day)) + 1) % 7;
  const bool by_day = Has(e.days, day.day()), by_weekday = Has(e.weekdays, weekday);
  return e.any_day || e.any_weekday ? by_day && by_weekday : by_day || by_weekday;
}

std::optional<absl::CivilMinute> FirstMatch(const Expression& e, absl::CivilMinute from,
                                            absl::CivilMinute to) {
  while (from < to) {
    const absl::CivilDay day(from);
    if (!Has(e.months, day.month())) {
      from = absl::CivilMinute(absl::CivilMonth(day) + 1);
      continue;
    }
    if (MatchesDay(e, day)) {
      if (const auto match = FirstOfDay(e, from)) return *match < to ? match : std::nullopt;
    }
    from = absl::CivilMinute(day + 1);
  }
  return std::nullopt;
}

std::optional<absl::CivilMinute> LastMatch(const Expression& e, absl::CivilMinute from,
                                           absl::CivilMinute to) {
  while (from < to) {
    const absl::CivilMinute last = to - 1;
    const absl::CivilDay day(last);
    if (!Has(e.months, day.month())) {
      to = absl::CivilMinute(absl::CivilMonth(day));
      continue;
    }
    if (MatchesDay(e, day)) {
      if (const auto match = LastOfDay(e, last)) return *match >= from ? match : std::nullopt;
    }
    to = absl::CivilMinute(day);
  }
  return std::nullopt;
}

}  // namespace rackmark::cron
