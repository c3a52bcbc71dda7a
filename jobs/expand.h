// Sweep x repeats to the list of runs. A point is the spec's tree with the swept values put in and
// read again, so that an error names the sweep value's own place. Pure.
#pragma once

#include <string>
#include <vector>

#include "jobs/fields.h"
#include "jobs/load.h"
#include "jobs/spec.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

// Puts `value` at a dotted path below `spec`; maps on the way are made. Everything after "sweep."
// is one key of the sweep.
absl::Status PutAt(YamlNode& spec, std::string_view path, const YamlNode& value);

// Applies overrides to `spec` (the tree below the key spec). INVALID_ARGUMENT names the override.
// One of load.trace takes the place of the rate, arrivals and lengths that the file wrote, so that
// any serve job can replay a trace.
absl::Status ApplyOverrides(YamlNode& spec, const std::vector<Override>& sets);

// All runs in the order to run them: repetition after repetition, within each the points in an
// order shuffled by the seed, so that a slow drift of the machine does not look like an effect of
// the swept field. Every repetition has the point's own seed: it repeats the same work.
// Stops at the first point with problems; the result counts only if there are none.
struct SpecAt {
  const YamlNode& node;
  std::string path;  // "spec", or where a suite or a schedule holds it
};
std::vector<v1::RunSpec> ExpandRuns(const SpecAt& spec, const v1::Gang& gang, Problems& problems,
                                    const TraceFinder& traces);

}  // namespace rackmark
