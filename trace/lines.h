// What both formats' line readers share. A line's problem is an INVALID_ARGUMENT without a place:
// "<what is wrong>; <remedy>"; ReadTrace knows file and line. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "common/time.h"

namespace rackmark::trace_internal {

// One line as recorded. Hashes are appended to a vector of the caller's.
struct Line {
  Nanos time_ns = 0;  // from an origin of the format's own
  uint32_t prompt_tokens = 0;
  uint32_t output_tokens = 0;
};

constexpr std::string_view kAzureHeader = "TIMESTAMP,ContextTokens,GeneratedTokens";

absl::StatusOr<Line> ReadAzureLine(std::string_view line);
absl::StatusOr<Line> ReadMooncakeLine(std::string_view line, std::vector<uint64_t>& hashes);

// Digits only, at most `max`.
std::optional<uint64_t> WholeNumber(std::string_view digits, uint64_t max);
// One to nine digits after a decimal point, as a part of `unit`.
std::optional<Nanos> FractionNanos(std::string_view digits, Nanos unit);

absl::Status Malformed(std::string_view what, std::string_view text, std::string_view remedy);
// 1 to kTraceLengthMax tokens; `name` is the field's.
absl::StatusOr<uint32_t> TokenCount(std::string_view digits, std::string_view name);

}  // namespace rackmark::trace_internal
