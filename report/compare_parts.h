// What a comparison compares: the headline numbers of runs, and everything that is not a number.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/compare.h"

namespace rackmark {

constexpr std::string_view kRequestedRateName = "requested rate";
constexpr std::string_view kNullStepsName = "null steps";
// Whether the number says something about the load as much as about the machine.
bool DependsOnLoad(std::string_view metric);

// With the values of the runs that count, unjudged. A metric that no run has is left out.
std::vector<MetricComparison> HeadlineMetrics(const std::vector<RunPair>& runs);

// Environment and versions of the nodes, transports, and the spec of the first run of each point
// that both have; equal values are left out.
std::vector<Difference> DifferencesOf(const v1::JobSummary& a, const v1::JobSummary& b);

}  // namespace rackmark
