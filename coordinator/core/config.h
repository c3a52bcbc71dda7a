// The core's times and limits (PROTOCOL 2). All configuration, with checked relations.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/time/time.h"
#include "common/status.h"
#include "common/time.h"

namespace rackmark {

// A time zone by its IANA name. The shell's, because it reads files (common/zone.h).
using ZoneFinder = std::function<absl::StatusOr<absl::TimeZone>(std::string_view name)>;

constexpr uint32_t kQuarantineOffencesMax = 16;  // so many are remembered of a node

struct CoreConfig {
  Nanos sync_interval = 5 * kSecond;
  Nanos suspect_after = 12 * kSecond;  // silence; a broken stream suspects at once
  Nanos lost_after = 15 * kSecond;     // silence; the node's gangs fail
  Nanos fence_after = 30 * kSecond;    // a worker kills its ranks this long after its last sync
  Nanos release_after = 40 * kSecond;  // silence; the node's devices leave their leases
  Nanos stall_after = 2 * kSecond;     // a longer gap between turns is not silence of the nodes
  // A rank failed by a peer's doing, and nobody has said whose: how long the culprit is waited for.
  Nanos blame_wait = 2 * kSecond;
  Nanos tick_max = kSecond;     // the shell never sleeps longer than this
  uint32_t setup_attempts = 3;  // consecutive failed lease set-ups of one job
  uint32_t lease_kills = 2;     // failed attempts of one run that ended its lease
  // A node with so many offences within the window goes into quarantine, unless then more than the
  // share of all nodes that were tested within it would be there; one always may.
  uint32_t quarantine_offences = 3;
  Nanos quarantine_window = 24 * 3600 * kSecond;
  uint32_t quarantine_percent = 20;
  uint32_t probation_runs = 3;  // that pass on it before a node on probation is good again
  // Of all open jobs together, as they were submitted: State holds them, and each snapshot.
  uint64_t open_job_bytes_max = 256 << 20;
  uint64_t schedule_bytes_max = 64 << 20;  // of all schedules together, as they were set
  ZoneFinder find_zone;                    // empty: no other zone than UTC is known
};

// INVALID_ARGUMENT that names the two figures which do not fit each other.
absl::Status CheckConfig(const CoreConfig& config);

}  // namespace rackmark
