#include "coordinator/schedule/budget.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace rackmark::schedule {
Night NightOf(const Budget& budget, Nanos now) {
  return {cron::Prev(budget.begins, budget.zone, now + 1).value_or(cron::kFirstInstant),
          cron::Next(budget.begins, budget.zone, now)};
}

NodeNanos Committed(const Night& night, const std::vector<Usage>& jobs, Nanos now) {
  NodeNanos sum = 0;
  for (const Usage& job : jobs) {
    if (job.began < night.begin || (night.end && job.began >= *night.end)) continue;
    // One that overran its limit and still runs has taken what it has.
    const Nanos until = job.ended      ? *job.ended
                        : job.replaced ? now
                                       : std::max(now, job.began + job.cost.longest);
    sum += static_cast<NodeNanos>(job.cost.nodes) *
           static_cast<NodeNanos>(std::max<Nanos>(0, until - job.began));
  }
  return sum;
}

std::string FormatNodeHours(NodeNanos node_nanos) {
  return absl::StrFormat("%.4g", node_nanos / (3600.0 * static_cast<double>(kSecond)));
}

}  // namespace rackmark::schedule
