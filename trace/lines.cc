#include "trace/lines.h"

#include <algorithm>

#include "common/text.h"
#include "trace/trace.h"

namespace rackmark::trace_internal {

std::optional<uint64_t> WholeNumber(std::string_view digits, uint64_t max) {
  if (digits.empty()) return std::nullopt;
  uint64_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    const auto digit = static_cast<uint64_t>(c - '0');
    if (value > (max - std::min(digit, max)) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  return value <= max ? std::optional(value) : std::nullopt;
}

std::optional<Nanos> FractionNanos(std::string_view digits, Nanos unit) {
  const auto value = WholeNumber(digits, 999'999'999);
  if (!value || digits.size() > 9) return std::nullopt;
  Nanos scale = 1;
  for (size_t i = 0; i < digits.size(); ++i) scale *= 10;
  // Below a nanosecond nothing is kept; no trace has such digits.
  return static_cast<Nanos>(*value) * unit / scale;
}

absl::Status Malformed(std::string_view what, std::string_view text, std::string_view remedy) {
  const std::string shown = EscapeControl(text.substr(0, 64));
  return absl::InvalidArgumentError(absl::StrCat(
      ToAbsl(what), " \"", shown, text.size() > 64 ? "..." : "", "\"; ", ToAbsl(remedy)));
}

absl::StatusOr<uint32_t> TokenCount(std::string_view digits, std::string_view name) {
  const auto tokens = WholeNumber(digits, kTraceLengthMax);
  if (tokens && *tokens > 0) return static_cast<uint32_t>(*tokens);
  return Malformed(absl::StrCat(ToAbsl(name), " is"), digits,
                   absl::StrCat("it must be a whole number of tokens, 1 to ", kTraceLengthMax));
}

}  // namespace rackmark::trace_internal
