// The plain twin of every operation: loops in double, nothing clever. What CPU and CUDA operations
// are tested against, and what a run may verify a sample of its results with. Slow by design.
#pragma once

#include <memory>

#include "kernels/ops.h"

namespace rackmark {

// Ignores MatMulShape::k_segments: in double the order hardly matters.
std::unique_ptr<Ops> MakeReferenceOps();

}  // namespace rackmark
