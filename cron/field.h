// One field of a cron expression: its table of names and limits, and the reading of its list of
// parts. Pure; what a field means is in expression.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"

namespace rackmark::cron {

struct Field {
  std::string_view name;
  uint32_t min, max;
  std::string_view example;
  std::vector<std::string_view> names;  // of min, min + 1, ...
};

// Minute, hour, day of month, month, day of week.
constexpr size_t kFields = 5;
const Field& FieldAt(size_t index);

struct Values {
  uint64_t bits = 0;  // bit n: value n
  bool star = false;  // "*", "?" or "*/1" among the parts
};

absl::StatusOr<Values> ReadField(const Field& field, std::string_view text);

// What ReadField reads as these values.
std::string FormatField(const Field& field, const Values& values);

}  // namespace rackmark::cron
