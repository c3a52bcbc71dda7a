// State as messages, and back: for snapshots, and for the tables that ended jobs go to. Pure.
#pragma once

#include "common/status.h"
#include "coordinator/core/state.h"
#include "rackmark/v1/event.pb.h"
#include "rackmark/v1/snapshot.pb.h"

namespace rackmark {

// All of HardState. Equal states give messages with equal bytes (serialised with maps in order).
v1::Snapshot TakeSnapshot(const HardState& hard);
// DATA_LOSS with the place if it is of another format, or does not fit together.
absl::StatusOr<HardState> FromSnapshot(const v1::Snapshot& snapshot);

// What JobEnded will take out of State. REQUIRES: CheckEvent says OK to the event, and it has not
// been applied yet.
v1::EndedJob RecordEnded(const HardState& hard, const v1::Event& job_ended);

}  // namespace rackmark
