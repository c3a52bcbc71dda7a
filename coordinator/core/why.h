// Why a job is where it is: what its gang asks for, which constraint keeps how many devices from
// it, who is ahead, what is due next, and one sentence that answers. Pure reads, on the loop
// thread, released like any reply after the turn's commit.
#pragma once

#include <string>
#include <vector>

#include "coordinator/core/state.h"
#include "rackmark/v1/client_api.pb.h"

namespace rackmark {

// REQUIRES: the job is open. Without identity.
v1::WhyReply WhyJob(const State& state, JobId job, Nanos now);

// Its sentence.
std::string WhySentence(const State& state, const JobState& job, Nanos now);
// The answer for one that has ended, from what people see of it; `runs` in order.
std::string WhyEnded(std::string_view cluster_id, const v1::JobStatus& job,
                     const std::vector<v1::RunStatus>& runs);

}  // namespace rackmark
