#include "coordinator/core/state.h"

namespace rackmark {

bool HasEnded(const HardState& hard, JobId job) {
  return !job.IsNone() && job.value <= hard.last_job && hard.jobs.count(job) == 0;
}

std::vector<RunId> RunsOf(const JobState& job) {
  std::vector<RunId> runs;
  for (int i = 0; i < job.job.spec().runs_size(); ++i) {
    runs.push_back(RunId{job.first_run.value + static_cast<uint64_t>(i)});
  }
  return runs;
}

const v1::RunSpec& SpecOf(const HardState& hard, const RunState& run) {
  const JobState& job = hard.jobs.at(run.job);
  return job.job.spec().runs(static_cast<int>(run.id.value - job.first_run.value));
}

std::optional<RunId> ToldRun(const LeaseState& lease) {
  return lease.run.has_value() ? lease.run : lease.draining;
}

}  // namespace rackmark
