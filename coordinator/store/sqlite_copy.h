// Copies a database as of one instant, while its owner goes on writing: the writer never waits for
// it. The copy is on disk when it returns.
#pragma once

#include <string>

#include "common/status.h"

namespace rackmark {

// `to` must not exist. The source stays as it is.
absl::Status CopyDatabase(const std::string& from, const std::string& to);

}  // namespace rackmark
