#include "coordinator/storage.h"

#include <charconv>
#include <utility>

namespace rackmark {
namespace {

constexpr std::pair<std::string_view, Nanos> kUnits[] = {
    {"d", 24 * 3600 * kSecond}, {"h", 3600 * kSecond}, {"m", 60 * kSecond}, {"s", kSecond}};
constexpr Nanos kAgeMax = 25LL * 366 * 24 * 3600 * kSecond;

// Missing = for ever, which nothing exceeds.
bool Exceeds(std::optional<Nanos> a, std::optional<Nanos> b) {
  if (!b) return false;
  return !a || *a > *b;
}

absl::Status Invalid(std::string_view text) { return absl::InvalidArgumentError(ToAbsl(text)); }

}  // namespace

absl::Status CheckStorage(const StorageConfig& c) {
  if (Exceeds(c.samples_keep, c.reports_keep)) {
    return Invalid(absl::StrCat(
        "--keep-samples (", FormatAge(c.samples_keep), ") must not be more than --keep-reports (",
        FormatAge(c.reports_keep), "), or samples would outlive the summary made of them"));
  }
  if (Exceeds(c.reports_keep, c.history_keep)) {
    return Invalid(absl::StrCat(
        "--keep-reports (", FormatAge(c.reports_keep), ") must not be more than --keep-history (",
        FormatAge(c.history_keep), "), or there would be reports of jobs that nobody finds"));
  }
  if (c.snapshot_events == 0) return Invalid("--snapshot-events must be at least 1");
  if (c.snapshot_bytes < 4096) return Invalid("--snapshot-bytes must be at least 4KiB");
  if (c.samples_bytes < (1 << 20)) return Invalid("--samples-bytes must be at least 1MiB");
  if (c.sweep_interval <= 0) return Invalid("--sweep-interval must be more than 0");
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Nanos>> ParseAge(std::string_view text) {
  if (text == "forever") return std::optional<Nanos>();
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  const std::string_view unit(parsed.ptr, static_cast<size_t>(end - parsed.ptr));
  for (const auto& [name, scale] : kUnits) {
    if (parsed.ec == std::errc() && unit == name && number > 0 && number <= kAgeMax / scale) {
      return std::optional<Nanos>(number * scale);
    }
  }
  return Invalid(absl::StrCat("'", ToAbsl(text),
                              "' is no age; write a whole number with a unit, up to 25 years, or "
                              "forever: 90d, 12h, 30m, 5s"));
}

std::string FormatAge(std::optional<Nanos> age) {
  if (!age) return "forever";
  for (const auto& [name, scale] : kUnits) {
    if (*age % scale == 0) return absl::StrCat(*age / scale, ToAbsl(name));
  }
  return FormatDuration(*age);
}

}  // namespace rackmark
