// The `serve` workload: tensor-parallel serving of one model under an open-loop load. This file
// walks through the phases; the loops are in serve_loops, what is recorded of a step in
// serve_steps.
#pragma once

#include <memory>

#include "worker/rank/workload.h"

namespace rackmark {

absl::Status CheckServe(const v1::RunSpec& spec, const Gang& gang);
std::unique_ptr<Workload> MakeServe(const v1::RunSpec& spec, const RunContext& context);

}  // namespace rackmark
