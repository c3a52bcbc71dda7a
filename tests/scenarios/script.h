// The language of tests/scenarios/*.txt (README.md there): commands, one per line, each followed by
// what it made happen as lines that begin with "> ".
#pragma once

#include <string>
#include <string_view>

#include "common/status.h"

namespace rackmark {

// Runs the commands of a script; returns it with every "> " line written anew. An error names the
// line of a command that is not in the language.
absl::StatusOr<std::string> RunScript(std::string_view text);

}  // namespace rackmark
