// The coordinator's command line, parsed and checked. A value; main's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/log.h"
#include "common/status.h"
#include "coordinator/core/config.h"
#include "coordinator/storage.h"
#include "coordinator/store/pg_connection.h"
#include "rpc/endpoint.h"
#include "rpc/security.h"

namespace rackmark {

struct CoordinatorOptions {
  std::string data;
  Endpoint listen;
  Security security;
  CoreConfig timing;
  StorageConfig storage;
  // The database that several coordinators share; missing: SQLite files in `data`, for one alone.
  // What jobs refer to by hash stays in the folder of each.
  std::optional<PgOptions> postgres;
  Nanos leader_ttl = 5 * kSecond;
  // What a standby tells callers of us; missing: where we listen.
  std::optional<std::string> advertise;
  // Not a coordinator but a backup of one, or the restoring of it: the folder to write or read.
  std::optional<std::string> backup_to, restore_from;
  bool json = false;
  std::optional<int> lifeline_fd;
  std::optional<int> ready_fd;
  uint64_t artifact_bytes = 4ULL << 30;
  LogLevel log_level = LogLevel::kInfo;
};

// Either options, or what main should return at once (help, version, or a usage error that was
// printed).
struct ParsedOptions {
  CoordinatorOptions options;
  std::optional<int> exit;
};
ParsedOptions ParseCoordinatorOptions(int argc, char** argv);

// "500ms", "5s", "2m": what the flags take.
absl::StatusOr<Nanos> ParseDurationFlag(std::string_view text);

}  // namespace rackmark
