// Waiting for a device or a communicator without being stuck with it: asks again and again, until
// it is done, fails, is aborted, or the limit has passed. Any thread; no state.
#pragma once

#include <atomic>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "common/status.h"
#include "common/time.h"

namespace rackmark {

struct Watch {
  const Clock* clock = nullptr;
  Nanos limit = 0;
  const std::atomic<bool>* aborted = nullptr;  // null: nobody can
};

// `done` says whether it is over. DEADLINE_EXCEEDED names `what` and the limit, UNAVAILABLE says
// that it was aborted; an error of `done` comes back as it is. A wait that is over when it starts
// is OK, whatever the limit.
absl::Status Await(const Watch& watch, std::string_view what,
                   absl::FunctionRef<absl::StatusOr<bool>()> done);

}  // namespace rackmark
