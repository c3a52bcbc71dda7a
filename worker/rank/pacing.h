// Waiting for a planned moment without work: the one place of this room that sleeps.
#pragma once

#include "common/time.h"

namespace rackmark {

// Until `deadline` by CLOCK_MONOTONIC, but no longer than `max`, so that the caller can look at its
// cancel flag. Returns at once if it has passed.
void SleepUntil(const Clock& clock, Nanos deadline, Nanos max);

}  // namespace rackmark
