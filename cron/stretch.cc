#include "cron/stretch.h"

#include <algorithm>

namespace rackmark::cron {
namespace {

// No clock was ever set back by more than a day (a move over the date line), nor changed as often
// as this within two.
constexpr int kSetBackHoursMax = 48, kChangesMax = 16;

}  // namespace

Stretch StretchAt(const absl::TimeZone& zone, absl::Time t, absl::Time from, absl::Time to) {
  Stretch s;
  absl::TimeZone::CivilTransition change;
  s.end = to;
  if (zone.NextTransition(t, &change)) s.end = std::min(to, zone.At(change.to).trans);
  // Whatever the zone's data say, whoever walks from end to end gets on.
  s.end = std::max(s.end, t + absl::Nanoseconds(1));
  s.begin = from;
  // PrevTransition reads whole seconds and answers what is strictly before: one second more is
  // "at t or before".
  bool changed = false;
  if (zone.PrevTransition(t + absl::Seconds(1), &change)) {
    const absl::Time at = std::min(t, zone.At(change.to).trans);
    changed = at > from;
    s.begin = std::max(from, at);
  }
  s.first = zone.At(s.begin).cs;
  s.past = s.first + absl::ToInt64Seconds(s.end - s.begin);
  s.seen = changed ? change.from : s.first;
  // A short stretch before this one may not have caught up with what was set back before it.
  absl::Time earlier = s.begin;
  for (int i = 0; changed && i < kChangesMax && zone.PrevTransition(earlier, &change); ++i) {
    earlier = std::min(earlier, zone.At(change.to).trans);
    if (earlier < s.begin - absl::Hours(kSetBackHoursMax)) break;
    s.seen = std::max(s.seen, change.from);
  }
  return s;
}

}  // namespace rackmark::cron
