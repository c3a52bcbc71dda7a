// Where this thread, and those that it starts later, may run.
#pragma once

#include <cstdint>
#include <vector>

#include "common/status.h"

namespace rackmark {

// An empty list leaves the process where it is. UNIMPLEMENTED if none of them can be used.
absl::Status PinToCpus(const std::vector<uint32_t>& cpus);

}  // namespace rackmark
