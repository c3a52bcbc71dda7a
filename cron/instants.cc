#include "cron/instants.h"

#include <algorithm>

#include "cron/civil.h"
#include "cron/stretch.h"

namespace rackmark::cron {
namespace {

absl::Time Begin() { return absl::FromUnixNanos(kFirstInstant); }
absl::Time End() { return absl::FromUnixNanos(kLastInstant); }

absl::CivilMinute CeilMinute(absl::CivilSecond second) {
  const absl::CivilMinute minute(second);
  return second.second() == 0 ? minute : minute + 1;
}

// Where a rule's own times begin in a stretch. One that names hours has had what is repeated.
absl::CivilMinute FirstMinute(const Expression& e, const Stretch& s) {
  return CeilMinute(e.EveryHour() ? s.first : std::max(s.first, s.seen));
}

// Whether the rule is due at the begin of the stretch, for times that were skipped to get there.
bool MakesUp(const Expression& e, const Stretch& s) {
  return !e.EveryHour() && s.seen < s.first &&
         FirstMatch(e, CeilMinute(s.seen), CeilMinute(s.first)).has_value();
}

}  // namespace

std::optional<Nanos> Next(const Expression& e, const absl::TimeZone& zone, Nanos after) {
  const absl::Time past = absl::FromUnixNanos(std::max(after, kFirstInstant - 1));
  for (absl::Time t = std::max(past, Begin()); t < End();) {
    const Stretch s = StretchAt(zone, t, Begin(), End());
    if (s.begin > past && MakesUp(e, s)) return absl::ToUnixNanos(s.begin);
    absl::CivilMinute from = FirstMinute(e, s);
    if (s.begin <= past) from = std::max(from, absl::CivilMinute(s.WallAt(past)) + 1);
    if (const auto match = FirstMatch(e, from, CeilMinute(s.past))) {
      return absl::ToUnixNanos(s.At(absl::CivilSecond(*match)));
    }
    t = s.end;
  }
  return std::nullopt;
}

std::optional<Nanos> Prev(const Expression& e, const absl::TimeZone& zone, Nanos before) {
  if (before <= kFirstInstant) return std::nullopt;
  const absl::Duration least = absl::Nanoseconds(1);
  absl::Time t = absl::FromUnixNanos(std::min(before, kLastInstant)) - least;
  while (t >= Begin()) {
    const Stretch s = StretchAt(zone, t, Begin(), End());
    const absl::CivilMinute to = absl::CivilMinute(s.WallAt(t)) + 1;
    if (const auto match = LastMatch(e, FirstMinute(e, s), to)) {
      return absl::ToUnixNanos(s.At(absl::CivilSecond(*match)));
    }
    if (MakesUp(e, s)) return absl::ToUnixNanos(s.begin);
    t = s.begin - least;
  }
  return std::nullopt;
}

uint32_t Count(const Expression& e, const absl::TimeZone& zone, Nanos after, Nanos upto,
               uint32_t limit) {
  uint32_t count = 0;
  for (auto at = Next(e, zone, after); at && *at <= upto && count <= limit;
       at = Next(e, zone, *at)) {
    ++count;
  }
  return count;
}

}  // namespace rackmark::cron
