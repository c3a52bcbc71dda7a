// Typed counters of what only the core and its shell count: suites and schedules. As common/ids.h.
#pragma once

#include "common/ids.h"

namespace rackmark {

using SuiteId = Id<struct SuiteTag>;
using ScheduleId = Id<struct ScheduleTag>;

}  // namespace rackmark
