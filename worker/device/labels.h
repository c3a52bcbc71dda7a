// What the operator says of this node: labels for selectors, and the rack that it stands in. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/status.h"
#include "rackmark/v1/cluster.pb.h"

namespace rackmark {

// Each text is KEY=VALUE, or several with commas between. INVALID_ARGUMENT names the text: a key or
// value with other characters than letters, digits and ._/-, one that is too long, a key that comes
// twice, or too many.
absl::Status AddLabels(const std::vector<std::string>& texts, v1::NodeInfo* node);

// INVALID_ARGUMENT: too long, or with control bytes.
absl::Status SetRack(const std::string& rack, v1::NodeInfo* node);

}  // namespace rackmark
