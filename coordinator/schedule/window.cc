#include "coordinator/schedule/window.h"

#include <algorithm>
#include <optional>

namespace rackmark::schedule {
namespace {

constexpr int kStepsMax = 1000;

// When the window that [t, t + length) touches is over; none if it touches none.
std::optional<Nanos> Touched(const Window& window, Nanos t, Nanos length) {
  // Of openings before t the last is the last to end, as all are equally long.
  const auto opened = cron::Prev(window.opens, window.zone, t + 1);
  if (opened && *opened + window.length > t) return *opened + window.length;
  const auto next = cron::Next(window.opens, window.zone, t);
  if (next && *next < t + length) return *next + window.length;
  return std::nullopt;
}

}  // namespace

Free FreeFrom(const std::vector<Window>& windows, Nanos t, Nanos length) {
  for (int step = 0; step < kStepsMax; ++step) {
    Nanos over = t;
    for (const Window& window : windows) {
      over = std::max(over, Touched(window, t, length).value_or(t));
    }
    if (over == t) return {t, true};
    t = over;
  }
  return {t, false};
}

std::optional<Nanos> ClosesAt(const std::vector<Window>& windows, Nanos t, Nanos length) {
  std::optional<Nanos> closes;
  for (const Window& window : windows) {
    const auto next = cron::Next(window.opens, window.zone, t + length - 1);
    if (next) closes = std::min(closes.value_or(*next), *next);
  }
  if (closes) *closes -= length - 1;
  return closes;
}

}  // namespace rackmark::schedule
