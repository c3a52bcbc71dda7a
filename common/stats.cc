#include "common/stats.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace rackmark {

std::optional<double> NearestRank(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) return std::nullopt;
  const double n = static_cast<double>(sorted.size());
  const double rank = std::clamp(std::ceil(q * n), 1.0, n);
  return sorted[static_cast<size_t>(rank) - 1];
}

std::optional<double> Mean(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  double mean = 0;
  double n = 0;
  for (double v : values) mean += (v - mean) / ++n;
  return mean;
}

std::optional<double> StandardDeviation(const std::vector<double>& values) {
  if (values.size() < 2) return std::nullopt;
  double mean = 0, m2 = 0, n = 0;
  for (double v : values) {
    const double delta = v - mean;
    mean += delta / ++n;
    m2 += delta * (v - mean);
  }
  return std::sqrt(m2 / (n - 1));
}

}  // namespace rackmark
