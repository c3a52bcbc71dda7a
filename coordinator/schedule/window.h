// Maintenance windows: stretches of time that begin by a cron expression. Pure.
#pragma once

#include <optional>
#include <vector>

#include "cron/instants.h"

namespace rackmark::schedule {

constexpr Nanos kWindowMax = 31 * 24 * 3600 * kSecond;

struct Window {
  cron::Expression opens;
  absl::TimeZone zone;
  Nanos length = 0;  // of real time: a change of clocks makes it no longer
};

// The first time from t on at which something of this length would touch no window; not found after
// a thousand windows: the time up to which there is none.
struct Free {
  Nanos at = 0;
  bool found = false;
};
Free FreeFrom(const std::vector<Window>& windows, Nanos t, Nanos length);

// The first time after t at which something of this length would touch a window; none if no window
// ever opens again. REQUIRES: at t it touches none.
std::optional<Nanos> ClosesAt(const std::vector<Window>& windows, Nanos t, Nanos length);

}  // namespace rackmark::schedule
