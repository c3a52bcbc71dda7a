// Which minutes of the calendar an expression names. Plain calendar arithmetic: no zone, no clock.
#pragma once

#include <optional>

#include "absl/time/civil_time.h"
#include "cron/expression.h"

namespace rackmark::cron {

bool MatchesDay(const Expression& e, absl::CivilDay day);

// The first, and the last, named minute in [from, to); none if there is none. The work is bounded
// by the months between them.
std::optional<absl::CivilMinute> FirstMatch(const Expression& e, absl::CivilMinute from,
                                            absl::CivilMinute to);
std::optional<absl::CivilMinute> LastMatch(const Expression& e, absl::CivilMinute from,
                                           absl::CivilMinute to);

}  // namespace rackmark::cron
