// Databases as files. Copies one as of one instant, while its owner goes on writing: the writer
// never waits for it. The copy is on disk when it returns.
#pragma once

#include <string>

#include "common/status.h"

namespace rackmark {

// `to` must not exist. The source stays as it is.
absl::Status CopyDatabase(const std::string& from, const std::string& to);

// Moves all that was committed from the log beside a database into its one file, which then may go
// elsewhere alone. Nobody else may have it open.
absl::Status FoldLog(const std::string& path);

}  // namespace rackmark
