#include "coordinator/core/state.h"

namespace rackmark {

bool HasEnded(const HardState& hard, JobId job) {
  return !job.IsNone() && job.value <= hard.last_job && hard.jobs.count(job) == 0;
}

bool IsOpen(const SuiteState& suite) { return suite.outcome == v1::SUITE_OUTCOME_UNKNOWN; }

std::optional<size_t> PartOf(const SuiteState& suite, std::string_view name) {
  for (int i = 0; i < suite.suite.jobs_size(); ++i) {
    if (suite.suite.jobs(i).part().name() == name) return static_cast<size_t>(i);
  }
  return std::nullopt;
}

const SuiteState* SuiteOf(const HardState& hard, const JobState& job) {
  if (!job.job.has_part()) return nullptr;
  const auto suite = hard.suites.find(SuiteId{job.job.part().suite_id()});
  return suite == hard.suites.end() ? nullptr : &suite->second;
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

const RunState* OpenRunOn(const HardState& hard, NodeId node) {
  for (const auto& [id, run] : hard.runs) {
    for (const v1::RankPlace& place : run.placement.ranks()) {
      if (place.node_id() == node.value) return &run;
    }
  }
  return nullptr;
}

std::optional<RunId> ToldRun(const LeaseState& lease) {
  return lease.run.has_value() ? lease.run : lease.draining;
}

}  // namespace rackmark
