// The instants at which a schedule is due: an expression in a time zone, mapped to unix ns. Pure;
// the zone is a value that a shell loaded (common/zone.h).
//
// Where clocks are changed, cron programs differ:
//   CronJob (robfig/cron) matches the wall clock: a time that a change skips is lost, and one that
//   it repeats is due twice. Vixie's cron makes up for a skipped time at once, and runs a repeated
//   one once; but rules with a star for the hour or the minute simply follow the wall clock.
// Here, because a night without its benchmark is a hole in a trend, and one with two pays twice:
//   a rule that names hours is due once for each time named, at the first instant at which the
//   zone's clock reads that time or a later one. So 02:30 in a spring gap from 02:00 to 03:00 is
//   due at 03:00 (several skipped times at one instant are one), and in an autumn repeat the first
//   time. A rule of every hour ("*/15 * * * *") is due whenever the wall clock reads a named
//   minute: it goes on through a repeat, and has nothing to make up for in a gap.
// Elsewhere in the year all three agree. An instant is due once, so it can be the key of its job.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "common/time.h"
#include "cron/expression.h"

namespace rackmark::cron {

// No instant lies outside 1970-01-01 to 2200-01-01 (UTC): unix ns end in 2262.
constexpr Nanos kFirstInstant = 0;
constexpr Nanos kLastInstant = 7'258'118'400 * kSecond;

// The first instant after `after`; the last before `before`. None within the bounds: nullopt.
std::optional<Nanos> Next(const Expression& e, const absl::TimeZone& zone, Nanos after);
std::optional<Nanos> Prev(const Expression& e, const absl::TimeZone& zone, Nanos before);

// Instants in (after, upto], counted no further than limit: limit + 1 means "more".
uint32_t Count(const Expression& e, const absl::TimeZone& zone, Nanos after, Nanos upto,
               uint32_t limit);

}  // namespace rackmark::cron
