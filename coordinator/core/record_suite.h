// Suites, schedules and shares as messages, and back: the part of record.cc that is theirs. Pure.
#pragma once

#include <string>

#include "common/status.h"
#include "coordinator/core/state.h"
#include "rackmark/v1/snapshot.pb.h"

namespace rackmark {

v1::SuiteRecord RecordOf(const SuiteState& suite);
v1::ScheduleRecord RecordOf(const ScheduleState& schedule);
v1::OwnerUsage RecordOf(const std::string& owner, const OwnerUsage& usage);

// All of these of a snapshot, whose counters `hard` has. DATA_LOSS if they do not fit together.
absl::Status LoadSuites(const v1::Snapshot& snapshot, HardState& hard);

}  // namespace rackmark
