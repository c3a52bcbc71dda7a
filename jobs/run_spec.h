// One point of a sweep: the `spec` map of a job to a RunSpec with all defaults. Pure.
#pragma once

#include "jobs/fields.h"
#include "jobs/load.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

// Keys of `spec`, for the "did you mean" of whoever opens it first.
const std::vector<std::string>& SpecKeys();

// `spec` without its sweep. Problems are reported, not returned; the result counts only if there
// are none. point and repetition are the caller's.
v1::RunSpec ReadRunSpec(const Fields& spec, const v1::Gang& gang, const TraceFinder& traces);

v1::Gang ReadGang(const Fields& spec);

// Missing measure = derived from the runs: see longest_run + bounds::kMeasureSlack.
v1::Limits ReadLimits(const Fields& spec, Nanos longest_run);

// Warm-up, calibration, window and grace of a run: what its measurement takes at least.
Nanos PlannedDuration(const v1::RunSpec& run);

}  // namespace rackmark
