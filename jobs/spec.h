// A job's YAML text to a checked v1::Job (other kinds: jobs/document), strictly (PROTOCOL 8): every
// default is filled in, the sweep is expanded, and anything that is not understood is an error with
// its place and remedy. Pure: no files, no clock; any thread. Client and server use the same two
// functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "jobs/load.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

// `--set load.rate=12/s`: the path is relative to spec, the value is YAML (a scalar, or flow style
// as in {min: 8, max: 64}). Several apply in order, before the sweep is expanded.
struct Override {
  std::string path;
  std::string value;
};

// "path=value", as on the command line.
absl::StatusOr<Override> ParseOverride(std::string_view text);

// INVALID_ARGUMENT: "file:line:column: spec.load.rate: <what is wrong>; <remedy>". file_name is
// only for these sentences. Without `traces`, a job that names a trace is refused.
absl::StatusOr<v1::Job> ParseJob(std::string_view yaml, std::string_view file_name,
                                 const std::vector<Override>& sets,
                                 const TraceFinder& traces = nullptr);

// The same, and all problems that can be told apart from each other's consequences, at most 32, in
// the order in which they were found.
struct ReadResult {
  std::optional<v1::Job> job;  // missing = there are problems
  std::vector<absl::Status> problems;
};
ReadResult ReadJob(std::string_view yaml, std::string_view file_name,
                   const std::vector<Override>& sets, const TraceFinder& traces = {});

// How long the job's runs take by their own plan, and at most by its limits if every attempt uses
// all of them. Waiting for a gang is in neither.
struct Estimate {
  Nanos planned = 0;  // warm-up, calibration, window and grace of each run
  Nanos at_most = 0;
};
Estimate EstimateOf(const v1::JobSpec& spec);

// `problem` with the place of spec's field `key` before it, for what is wrong with a job that
// ParseJob took: a gang that fits nowhere. Keeps the code.
absl::Status AtSpecField(const v1::Job& job, std::string_view file_name, std::string_view key,
                         const absl::Status& problem);

// A Job that came over the wire: the same limits again, because whoever sent it may not have used
// ParseJob. INVALID_ARGUMENT names the field. A job of its own: no part of a suite, not made by a
// schedule.
absl::Status CheckJob(const v1::Job& job);

}  // namespace rackmark
