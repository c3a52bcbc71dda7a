// State as people ask for it: the messages of ListNodes, ListJobs, ListRuns and WatchJob. Pure
// reads, on the loop thread, released like any reply after the turn's commit (PROTOCOL 3).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/command.h"
#include "coordinator/core/queue.h"
#include "coordinator/core/state.h"
#include "rackmark/v1/client_api.pb.h"
#include "rackmark/v1/snapshot.pb.h"
#include "rackmark/v1/summary.pb.h"

namespace rackmark {

// REQUIRES: the object exists in state.hard.
v1::NodeStatus ViewNode(const State& state, NodeId node, Nanos now);
v1::JobStatus ViewJob(const State& state, JobId job);
v1::RunStatus ViewRun(const State& state, RunId run, Nanos now);
// Of the tables of ended jobs, as they looked in State.
v1::JobStatus ViewEnded(const v1::JobRecord& job);
v1::RunStatus ViewEnded(const v1::RunRecord& run);
// REQUIRES as above. The suite's jobs that have ended are named, with their verdicts; the rest of
// them is in the store's tables.
v1::SuiteStatus ViewSuite(const State& state, SuiteId suite);
v1::ScheduleStatus ViewSchedule(const State& state, ScheduleId schedule, Now now);
v1::JobPhase PhaseOf(const HardState& hard, const JobState& job);

// NOT_FOUND, with what to do. `cluster_id`: for the job's name as people see it.
absl::Status NoSuchJob(std::string_view cluster_id, JobId job);
// The same for a job whose history has gone.
absl::Status NoLongerKept(std::string_view cluster_id, JobId job);

// What the reporter needs about the nodes of a run's placement: environment, clock offset.
std::vector<v1::NodeFacts> FactsOf(const State& state, const RunState& run);

// The worst: CANCELLED, ERROR, TIMEOUT, FAIL, INVALID, SKIPPED, PASS in that order.
v1::Verdict WorstOf(v1::Verdict a, v1::Verdict b);

}  // namespace rackmark
