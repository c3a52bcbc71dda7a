// Exact statistics of a list of numbers. Empty in, missing out: never 0.
#pragma once

#include <optional>
#include <vector>

namespace rackmark {

// Nearest rank on sorted values: the smallest value with at least q of all values at or below it.
std::optional<double> NearestRank(const std::vector<double>& sorted, double q);
std::optional<double> Mean(const std::vector<double>& values);
// Sample standard deviation by Welford; missing below two values.
std::optional<double> StandardDeviation(const std::vector<double>& values);

}  // namespace rackmark
