// Suites: jobs that are submitted together, wait for each other, and begin when the parts that they
// expect were looked at. What a suite's jobs may do follows from State alone. Pure.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "coordinator/core/command.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/state.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

absl::StatusOr<Decision> DecideSubmitSuite(const State& state, const SubmitSuite& command);

// Whether a job may begin, by the suite that it is a part of. A job of its own may.
struct Admission {
  bool free = true;
  std::string waits_for;               // half a sentence, while it is not free
  std::optional<v1::Failure> skipped;  // it will never begin
};
Admission AdmissionOf(const State& state, const JobState& job);

// It must not be placed yet, or never.
bool IsBlocked(const State& state, const JobState& job);

// SuiteChecked and SuiteEnded, of all open suites that are ripe for it; SuiteChecked once more for
// each part that leaves afterwards (soft.left_nodes).
void StepSuites(const State& state, Nanos now, std::vector<v1::Event>& events);

// By Now::monotonic, when a suite that waits for nodes is looked at whoever has reported; missing
// if it waits for none.
std::optional<Nanos> CheckDeadline(const State& state, const SuiteState& suite);

// Jobs that the event, which has just been applied, may have moved besides its own.
void AddAffected(const HardState& hard, const v1::Event& event, std::set<JobId>& jobs);

// Something is not as it is expected; what is excluded does not count.
bool HasFault(const SuiteState& suite);

}  // namespace rackmark
