// Which serial sits where, against which should: the part of expect.h that looks at the slot map.
#pragma once

#include <vector>

#include "rackmark/v1/cluster.pb.h"
#include "rackmark/v1/suite.pb.h"

namespace rackmark::expect {

// Adds what it finds. `nodes`: those that can be asked; of others nothing is said here.
void CompareSlots(const v1::Expectation& expectation, const std::vector<const v1::NodeInfo*>& nodes,
                  std::vector<v1::Finding>& findings);

}  // namespace rackmark::expect
