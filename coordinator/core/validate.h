// Input that the core refuses to reason about. INVALID_ARGUMENT with the field's name. Pure.
#pragma once

#include "common/status.h"
#include "rackmark/v1/job.pb.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {

absl::Status ValidateJob(const v1::Job& job);
absl::Status ValidateReport(const v1::Report& report);
// The same of the name of a node that nobody knew before.
absl::Status CheckNewName(std::string_view name);

}  // namespace rackmark
