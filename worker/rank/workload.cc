#include "worker/rank/workload.h"

#include <array>

#include "worker/rank/workloads/null.h"
#include "worker/rank/workloads/serve.h"

namespace rackmark {
namespace {

constexpr std::array<WorkloadEntry, 2> kWorkloads = {{
    {v1::RunSpec::kServe, "serve", false, &CheckServe, &MakeServe},
    {v1::RunSpec::kNull, "null", true, &CheckNull, &MakeNull},
}};

}  // namespace

absl::StatusOr<const WorkloadEntry*> FindWorkload(const v1::RunSpec& spec) {
  for (const WorkloadEntry& entry : kWorkloads) {
    if (entry.which == spec.workload_case()) return &entry;
  }
  return absl::UnimplementedError(absl::StrCat(
      "the run's workload has the number ", static_cast<int>(spec.workload_case()),
      ", which this build does not know; install rackmark-rank of the coordinator's version"));
}

}  // namespace rackmark
