// The `load` map of a serve workload: a rate with drawn lengths, or the replay of a trace. A trace
// is a file of whoever submits, so its content comes through a function of theirs: this room opens
// nothing. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "jobs/fields.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

struct TraceFacts {
  v1::Load load;              // as asked for, with hash, counts and duration filled in
  uint64_t longest = 0;       // prompt + output tokens of the longest request that is replayed
  uint32_t longest_line = 0;  // where it stands in the file
};

// What the trace at `path` gives with the scales and limits in `asked`, whose duration_ns is 0 if
// the trace should say. INVALID_ARGUMENT: a sentence; for a malformed line "path:line: ...".
using TraceFinder =
    std::function<absl::StatusOr<TraceFacts>(std::string_view path, const v1::Load& asked)>;

// Keys of `load`, and those of them that a trace replaces by its own content.
const std::vector<std::string>& LoadKeys();
const std::vector<std::string>& KeysThatATraceReplaces();

struct LoadAndLongest {
  v1::Load load;
  std::optional<uint64_t> longest;  // of a request, if a trace says so
};
LoadAndLongest ReadLoad(const Fields& load, const TraceFinder& traces);

}  // namespace rackmark
