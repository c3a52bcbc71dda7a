// The `null` workload: the phases, the barriers and the recording of a run, without work. What it
// costs is what the instrument costs; and it holds a phase for a stated time.
#pragma once

#include <memory>

#include "worker/rank/workload.h"

namespace rackmark {

absl::Status CheckNull(const v1::RunSpec& spec, const Gang& gang);
std::unique_ptr<Workload> MakeNull(const v1::RunSpec& spec, const RunContext& context);

}  // namespace rackmark
