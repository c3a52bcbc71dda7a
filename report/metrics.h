// Every number of a run with its name and unit, in one list: what CSV writes a row for. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rackmark/v1/summary.pb.h"

namespace rackmark {

struct Metric {
  std::string of;  // "run", "rank 0", "node a", "allreduce up to 4096 B", "check"
  std::string name;
  std::string unit;  // "1" is a share or a count of nothing in particular
  std::optional<double> value;
  std::string missing;  // why there is no value
};

// In an order that does not depend on what is missing.
std::vector<Metric> MetricsOf(const v1::RunSummary& run);

}  // namespace rackmark
