#include "coordinator/schedule/history.h"

#include <algorithm>

namespace rackmark::schedule {

std::vector<Nanos> BeyondHistory(const std::vector<EndedJob>& jobs, const HistoryLimits& limits) {
  std::vector<EndedJob> latest_first = jobs;
  std::sort(latest_first.begin(), latest_first.end(),
            [](const EndedJob& a, const EndedJob& b) { return a.instant > b.instant; });
  uint32_t successful = 0, failed = 0;
  std::vector<Nanos> beyond;
  for (const EndedJob& job : latest_first) {
    const bool kept = job.successful ? successful++ < limits.successful : failed++ < limits.failed;
    if (!kept) beyond.push_back(job.instant);
  }
  std::reverse(beyond.begin(), beyond.end());
  return beyond;
}

}  // namespace rackmark::schedule
