// Exit statuses of all programs: one place, so that scripts can rely on them. README lists them.
#pragma once

namespace rackmark {

enum ExitCode : int {
  kExitPass = 0,
  kExitFail = 1,          // verdict FAIL
  kExitUsage = 2,         // bad flags or arguments
  kExitInvalid = 3,       // verdict INVALID
  kExitError = 4,         // verdict ERROR
  kExitTimeout = 5,       // verdict TIMEOUT
  kExitSkipped = 6,       // verdict SKIPPED
  kExitIncomplete = 7,    // of a suite nothing failed, and not all of it was looked at
  kExitBadSpec = 10,      // the job file is wrong (YAML, key, type, unit, unknown model)
  kExitImpossible = 11,   // no gang of this shape can ever be placed on these nodes
  kExitUnreachable = 12,  // no coordinator there, or it refused us
  kExitInUse = 13,        // socket or data folder in use by another process
  kExitBadDatabase = 14,  // the database is unreadable, foreign or of another version
  kExitProtocol = 15,     // the other side speaks no common protocol version
  kExitRefused = 16,      // refused for safety (bind beyond loopback without TLS, no permission)
  kExitFenced = 17,       // fenced itself: unknown disk state, or another leader
  kExitInternal = 70,     // our bug
  kExitCancelled = 130,   // verdict CANCELLED or Ctrl-C
};

}  // namespace rackmark
