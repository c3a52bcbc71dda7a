// How much is kept, for how long, and when a snapshot is due. Values with checked relations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/status.h"
#include "common/time.h"

namespace rackmark {

struct StorageConfig {
  uint64_t snapshot_events = 10'000;
  uint64_t snapshot_bytes = 64ULL << 20;
  // Raw samples, of jobs that have ended: by age (missing = for ever), and by what samples.db
  // holds.
  std::optional<Nanos> samples_keep = 90LL * 24 * 3600 * kSecond;
  uint64_t samples_bytes = 64ULL << 30;
  std::optional<Nanos> reports_keep;  // run summaries
  std::optional<Nanos> history_keep;  // ended jobs and runs: what lists show
  Nanos sweep_interval = 60 * kSecond;
};

// INVALID_ARGUMENT that names the two figures which do not fit each other.
absl::Status CheckStorage(const StorageConfig& config);

// "90d", "12h", "30m", "5s" or "forever" (missing).
absl::StatusOr<std::optional<Nanos>> ParseAge(std::string_view text);
// As ParseAge reads it.
std::string FormatAge(std::optional<Nanos> age);

}  // namespace rackmark
