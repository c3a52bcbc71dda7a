// The language of tests/scenarios/*.txt (README.md there): commands, one per line, each followed by
// what it made happen as lines that begin with "> ".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

// Runs the commands of a script; returns it with every "> " line written anew. An error names the
// line of a command that is not in the language.
absl::StatusOr<std::string> RunScript(std::string_view text);

// The event log that a script leaves behind.
absl::StatusOr<std::vector<v1::Event>> LogOfScript(std::string_view text);

}  // namespace rackmark
