// Snapshots of State as the bytes that are stored. Equal states give equal bytes. Pure but for the
// store.
#pragma once

#include <string>

#include "coordinator/core/state.h"
#include "coordinator/store/store.h"

namespace rackmark {

std::string SnapshotBytes(const HardState& hard);
// DATA_LOSS if it is damaged, of another format, or of another event than its row says.
absl::StatusOr<HardState> ReadSnapshot(EventStore& events, uint64_t seq);

// The newest snapshot that is whole, and the log after it, into an empty State. A log from before
// there was a history gets the rows of the jobs that it ended.
absl::Status RecoverState(EventStore& events, State& state);

}  // namespace rackmark
