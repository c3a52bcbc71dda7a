// What the events of suites and schedules mean, and what may be in them. For apply.cc and check.cc.
#pragma once

#include "common/status.h"
#include "coordinator/core/state.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

// DATA_LOSS as CheckEvent. REQUIRES, both: a change of a suite or a schedule.
absl::Status CheckSuiteChange(const HardState& hard, const v1::Event& event);
void ApplySuiteChange(HardState& hard, const v1::Event& event);

// To the job's suite and schedule, before it leaves State.
void NoteJobEnded(HardState& hard, const v1::Event& job_ended, const JobState& job);

}  // namespace rackmark
