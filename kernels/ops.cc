#include "kernels/ops.h"

#include <cmath>

#include "common/status.h"

namespace rackmark {

int ReduceSegmentsOf(int tensor_parallel) {
  RACKMARK_CHECK(tensor_parallel >= 1 && kReduceSegments % tensor_parallel == 0);
  return kReduceSegments / tensor_parallel;
}

RopeTable::RopeTable(const std::vector<double>& frequencies, int max_positions)
    : half_(static_cast<int>(frequencies.size())), max_positions_(max_positions) {
  cos_.reserve(frequencies.size() * static_cast<size_t>(max_positions));
  sin_.reserve(cos_.capacity());
  for (int position = 0; position < max_positions; ++position) {
    for (const double frequency : frequencies) {
      cos_.push_back(static_cast<float>(std::cos(position * frequency)));
      sin_.push_back(static_cast<float>(std::sin(position * frequency)));
    }
  }
}

size_t RopeTable::Offset(int position) const {
  RACKMARK_CHECK(position >= 0 && position < max_positions_);
  return static_cast<size_t>(position) * static_cast<size_t>(half_);
}

std::vector<double> RopeFrequencies(int head_dim, double theta) {
  RACKMARK_CHECK(head_dim > 0 && head_dim % 2 == 0);
  std::vector<double> frequencies;
  for (int i = 0; i < head_dim / 2; ++i) {
    frequencies.push_back(std::pow(theta, -2.0 * i / head_dim));
  }
  return frequencies;
}

Argmax Better(const Argmax& a, const Argmax& b) {
  if (a.value == b.value) return a.index <= b.index ? a : b;
  if (std::isnan(b.value)) return a;
  return std::isnan(a.value) || b.value > a.value ? b : a;
}

}  // namespace rackmark
