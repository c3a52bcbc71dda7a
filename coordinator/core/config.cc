#include "coordinator/core/config.h"

#include <initializer_list>
#include <string>
#include <string_view>

namespace rackmark {
namespace {

struct Named {
  std::string_view name;
  Nanos value;
};

absl::Status Ascending(std::initializer_list<Named> figures) {
  const Named* before = nullptr;
  for (const Named& figure : figures) {
    if (figure.value <= 0) {
      return absl::InvalidArgumentError(absl::StrCat(ToAbsl(figure.name), " must be more than 0"));
    }
    if (before != nullptr && before->value >= figure.value) {
      return absl::InvalidArgumentError(absl::StrCat(
          ToAbsl(before->name), " (", FormatDuration(before->value), ") must be less than ",
          ToAbsl(figure.name), " (", FormatDuration(figure.value), ")"));
    }
    before = &figure;
  }
  return absl::OkStatus();
}

absl::Status CheckQuarantine(const CoreConfig& c) {
  // A node's memory is bounded: a threshold beyond it would never be reached.
  if (c.quarantine_offences == 0 || c.quarantine_offences > kQuarantineOffencesMax) {
    return absl::InvalidArgumentError(absl::StrCat("quarantine_offences must be 1 to ",
                                                   kQuarantineOffencesMax, ", and is ",
                                                   c.quarantine_offences));
  }
  if (c.quarantine_percent == 0 || c.quarantine_percent > 100) {
    return absl::InvalidArgumentError(
        absl::StrCat("quarantine_percent must be 1 to 100, and is ", c.quarantine_percent));
  }
  if (c.probation_runs == 0) {
    return absl::InvalidArgumentError("probation_runs must be at least 1");
  }
  // A lost node is back, or its devices are free for others, before its offences are forgotten.
  return Ascending(
      {{"release_after", c.release_after}, {"quarantine_window", c.quarantine_window}});
}

}  // namespace

absl::Status CheckConfig(const CoreConfig& c) {
  // A worker that misses one sync is not suspect yet; one that is lost is not yet fenced, so that a
  // short restart of the coordinator kills nothing; devices are reused only after the fence.
  RETURN_IF_ERROR(Ascending({{"sync_interval", c.sync_interval},
                             {"suspect_after", c.suspect_after},
                             {"lost_after", c.lost_after},
                             {"fence_after", c.fence_after},
                             {"release_after", c.release_after}}));
  RETURN_IF_ERROR(Ascending({{"tick_max", c.tick_max},
                             {"stall_after", c.stall_after},
                             {"suspect_after", c.suspect_after}}));
  if (c.suspect_after < 2 * c.sync_interval) {
    return absl::InvalidArgumentError(
        absl::StrCat("suspect_after (", FormatDuration(c.suspect_after),
                     ") must be at least twice sync_interval (", FormatDuration(c.sync_interval),
                     "), or one late report makes a node suspect"));
  }
  if (c.blame_wait <= 0) return absl::InvalidArgumentError("blame_wait must be more than 0");
  if (c.setup_attempts == 0 || c.lease_kills == 0) {
    return absl::InvalidArgumentError("setup_attempts and lease_kills must be at least 1");
  }
  RETURN_IF_ERROR(CheckQuarantine(c));
  if (c.open_job_bytes_max == 0 || c.schedule_bytes_max == 0) {
    return absl::InvalidArgumentError(
        "open_job_bytes_max and schedule_bytes_max must be more than 0");
  }
  return absl::OkStatus();
}

}  // namespace rackmark
