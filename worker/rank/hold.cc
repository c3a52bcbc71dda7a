#include "worker/rank/hold.h"

#include <algorithm>
#include <string_view>

#include "worker/rank/pacing.h"

namespace rackmark {
namespace {

// So soon a stop ends a hold, as it ends a step of real work.
constexpr Nanos kCancelCheck = 5 * kMillisecond;

}  // namespace

Nanos HoldTime(const v1::Hold& hold, v1::HoldPhase phase, uint32_t rank) {
  if (hold.phase() != phase || (hold.has_rank() && hold.rank() != rank)) return 0;
  return hold.duration_ns();
}

std::string HoldWords(v1::HoldPhase phase) {
  const std::string name = v1::HoldPhase_Name(phase);
  return absl::StrCat("held in ", name.substr(std::string_view("HOLD_PHASE_").size()));
}

absl::Status KeepHold(const v1::Hold& hold, v1::HoldPhase phase, uint32_t rank, const Clock& clock,
                      Progress* progress) {
  const Nanos time = HoldTime(hold, phase, rank);
  if (time == 0) return absl::OkStatus();
  progress->Note(HoldWords(phase));
  const Nanos until = clock.Monotonic() + time;
  for (Nanos now = clock.Monotonic(); now < until; now = clock.Monotonic()) {
    if (progress->Cancelled()) return absl::CancelledError("it was ended while it held a phase");
    SleepUntil(clock, std::min(until, now + kCancelCheck), kCancelCheck);
  }
  progress->Note("");
  return absl::OkStatus();
}

}  // namespace rackmark
