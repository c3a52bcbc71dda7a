// What several commands need: the job's file, the coordinator's channel, errors and JSON on their
// streams. Main's thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cli/command_line.h"
#include "cli/coordinator_client.h"
#include "cli/trace_files.h"
#include "common/status.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

constexpr Nanos kCallPatience = 10 * kSecond;

// "rackmark: <sentence>" on stderr; returns `exit`.
int Complain(const absl::Status& status, int exit);

// The job of the command line's FILE with its --set flags. Any error is kExitBadSpec. `traces`
// holds the traces that it names, for their upload.
absl::StatusOr<v1::Job> LoadJob(const CommandLine& line, TraceFiles& traces);

// `pause`: see CoordinatorClient.
absl::StatusOr<std::unique_ptr<CoordinatorClient>> Connect(const std::string& endpoint,
                                                           const CommandLine& line,
                                                           CoordinatorClient::Pause pause);

void Print(std::string_view text);

// "3", "j3" or "1a2b3c4d-j3", as `rackmark jobs` shows it. The cluster part must be `cluster_id`'s.
absl::StatusOr<uint64_t> ParseJobName(std::string_view text, std::string_view cluster_id);

}  // namespace rackmark
