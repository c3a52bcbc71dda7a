// `rackmark-coordinator --backup-to` and `--restore-from`: does it, tells on stdout what was done,
// and returns the exit status. Main's thread.
#pragma once

#include "coordinator/options.h"

namespace rackmark {

// REQUIRES: one of the two is set.
int RunBackupCommand(const CoordinatorOptions& options);

}  // namespace rackmark
