// Numbers with units as people write them in a job: "20s", "256MiB", "12/s", "60%". A unit is
// required where one exists, because 20 means seconds to one reader and milliseconds to the next.
// Errors are "<what is wrong>; <remedy>", without a place. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/status.h"
#include "common/time.h"

namespace rackmark::units {

// Plain decimal digits: no sign, no octal, no hex, no exponent.
absl::StatusOr<uint64_t> ParseInteger(std::string_view text);
// A factor, as 0.25: no sign, no exponent, no unit.
absl::StatusOr<double> ParseNumber(std::string_view text);
// ns, us, ms, s, min, h. A part of a nanosecond is refused.
absl::StatusOr<Nanos> ParseDuration(std::string_view text);
// B, KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024).
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);
// "12/s", "30/min" as events per second; > 0.
absl::StatusOr<double> ParseRate(std::string_view text);
// "60%" as 0.6; > 0.
absl::StatusOr<double> ParsePercent(std::string_view text);

}  // namespace rackmark::units
