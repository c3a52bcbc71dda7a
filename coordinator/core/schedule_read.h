// A schedule as it was set, as the rules of coordinator/schedule read it. Pure.
#pragma once

#include <string>

#include "common/status.h"
#include "coordinator/core/config.h"
#include "coordinator/core/ids.h"
#include "coordinator/schedule/schedule.h"
#include "rackmark/v1/suite.pb.h"

namespace rackmark {

// INVALID_ARGUMENT, or what the finder of zones says; the field is named.
absl::StatusOr<schedule::Schedule> ReadSchedule(ScheduleId id, const v1::Schedule& schedule,
                                                const ZoneFinder& find_zone);

// What it would submit is well formed too, and its jobs could start some day after `wall`.
absl::Status ValidateSchedule(const v1::Schedule& schedule, const ZoneFinder& find_zone,
                              Nanos wall);

// The most that one job of it holds: its budget of wall time, or else all its limits together, on
// as many nodes as it may be spread over. Of a suite its parts one after the other.
schedule::Cost CostOf(const v1::Schedule& schedule);

// "<name>-<unix seconds of the instant>", as CronJob does.
std::string ScheduledName(const v1::Schedule& schedule, Nanos instant);

}  // namespace rackmark
