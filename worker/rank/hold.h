// What a rank does for a job that holds a phase (job.proto, Hold): nothing, for so long, and ready
// to end at once when it is told to. Runner's thread.
#pragma once

#include <string>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/job.pb.h"
#include "worker/rank/workload.h"

namespace rackmark {

// How long this rank holds that phase; 0 = it does not.
Nanos HoldTime(const v1::Hold& hold, v1::HoldPhase phase, uint32_t rank);

// "held in MEASURING": the note that people see meanwhile.
std::string HoldWords(v1::HoldPhase phase);

// Says so and waits, if this rank holds that phase. CANCELLED if the run, or the rank, is to end.
absl::Status KeepHold(const v1::Hold& hold, v1::HoldPhase phase, uint32_t rank, const Clock& clock,
                      Progress* progress);

}  // namespace rackmark
