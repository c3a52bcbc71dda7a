// What a suite must be for the core to reason about it. INVALID_ARGUMENT with the field's name.
#pragma once

#include <string_view>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/suite.pb.h"

namespace rackmark {

constexpr int kSuiteJobsMax = 100;
constexpr Nanos kExpectWaitMax = 60 * kSecond;

// Also each of its jobs. `part.suite_id` and `scheduled` are the core's to set: they are not read.
absl::Status ValidateSuite(const v1::Suite& suite);

// [a-z0-9-]{1,max}
bool IsName(std::string_view name, size_t max = 63);

}  // namespace rackmark
