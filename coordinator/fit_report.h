// Makes a job's report fit into one message. What is left out is named in `missing` of its run, so
// that every rendering says so. Pure.
#pragma once

#include <cstddef>

#include "common/status.h"
#include "rackmark/v1/summary.pb.h"

namespace rackmark {

// Part by part, the ones that can best be done without first, of the last runs first: charts,
// distributions, figures per collective and rank, nodes, placement, and at last all numbers but the
// verdict. RESOURCE_EXHAUSTED with the remedy if even that is too much.
absl::Status FitReport(v1::JobSummary& summary, size_t bytes_max);
// While it is put together: of a run that comes after one message's worth the charts go in any
// case.
void LeaveOutCharts(v1::RunSummary& run);

}  // namespace rackmark
