#include "kernels/watch.h"

#include <poll.h>
#include <sched.h>

namespace rackmark {
namespace {

// A collective of a step is over in microseconds: to give up the CPU would cost more than it. What
// takes longer leaves the CPU to others, and what takes very long looks only once a millisecond.
constexpr Nanos kSpin = 100 * kMicrosecond;
constexpr Nanos kYield = 5 * kMillisecond;

}  // namespace

absl::Status Await(const Watch& watch, std::string_view what,
                   absl::FunctionRef<absl::StatusOr<bool>()> done) {
  const Nanos start = watch.clock->Monotonic();
  while (true) {
    ASSIGN_OR_RETURN(const bool over, done());
    if (over) return absl::OkStatus();
    if (watch.aborted != nullptr && watch.aborted->load(std::memory_order_relaxed)) {
      return absl::UnavailableError(absl::StrCat(ToAbsl(what), " was aborted"));
    }
    const Nanos waited = watch.clock->Monotonic() - start;
    if (waited >= watch.limit) {
      return absl::DeadlineExceededError(
          absl::StrCat(ToAbsl(what), " was not over after ", watch.limit / kMillisecond,
                       " ms; a rank may be missing or a device hung"));
    }
    if (waited < kSpin) continue;
    if (waited < kYield) {
      sched_yield();
    } else {
      poll(nullptr, 0, 1);
    }
  }
}

}  // namespace rackmark
