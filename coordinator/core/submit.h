// How jobs come into State, by whatever door: room for them, their events, and what a person should
// be told of them at once. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/status.h"
#include "coordinator/core/state.h"
#include "rackmark/v1/event.pb.h"
#include "rackmark/v1/suite.pb.h"

namespace rackmark {

// RESOURCE_EXHAUSTED if all open jobs together had more bytes than State is to hold.
absl::Status CheckRoom(const State& state, uint64_t bytes);

// A submission_id that the core can remember.
absl::Status CheckSubmissionId(const std::string& id);

// Why the gang fits no set of the nodes known now. Empty: it does.
std::string ImpossibleNote(const State& state, const v1::Gang& gang);

// The ids that come next, where several things are submitted by one group of events.
struct NextIds {
  explicit NextIds(const HardState& hard)
      : suite(hard.last_suite + 1), job(hard.last_job + 1), run(hard.last_run + 1) {}
  uint64_t suite, job, run;
};

// JobSubmitted.
JobId EmitJob(v1::Job job, const std::string& submission_id, NextIds& next,
              std::vector<v1::Event>& events);

// SuiteSubmitted, and JobSubmitted of each of its jobs, "<submission_id>/<part>".
SuiteId EmitSuite(v1::Suite suite, const std::string& submission_id, NextIds& next,
                  std::vector<v1::Event>& events);

// What EmitSuite calls them.
std::string PartSubmission(const std::string& submission_id, const v1::Job& job);

}  // namespace rackmark
