// A stretch of time in which a zone's offset from UTC does not change: inside it wall clock and
// instants run side by side, so all that is special about a change of clocks is at its begin. Pure.
#pragma once

#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace rackmark::cron {

struct Stretch {
  absl::Time begin, end;          // [begin, end)
  absl::CivilSecond first, past;  // the wall clock at begin, and what it would read at end
  // All wall clocks before begin read less than this: below first where a change of clocks skipped
  // times, above it where one repeats them.
  absl::CivilSecond seen;

  absl::Time At(absl::CivilSecond wall) const { return begin + absl::Seconds(wall - first); }
  absl::CivilSecond WallAt(absl::Time t) const { return first + absl::ToInt64Seconds(t - begin); }
};

// The one that t is in, cut to [from, to), of which t is a part.
Stretch StretchAt(const absl::TimeZone& zone, absl::Time t, absl::Time from, absl::Time to);

}  // namespace rackmark::cron
