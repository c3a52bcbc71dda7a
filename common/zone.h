// Time zones by IANA name, from the machine's zone database. It reads files the first time that a
// zone is asked for, so it is for shells, which hand the zone to what is pure. Thread-safe.
#pragma once

#include <string_view>

#include "absl/time/time.h"
#include "common/status.h"

namespace rackmark {

// "Europe/Berlin", "UTC". Not "Local", a path, or an offset: those mean another thing on each
// machine, or change with no season. NotFound names the nearest zone; FailedPrecondition says that
// this machine has no zone database (package tzdata).
absl::StatusOr<absl::TimeZone> FindZone(std::string_view name);

}  // namespace rackmark
