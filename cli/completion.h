// Shell completion, made of the tables of commands and flags alone. Pure.
#pragma once

#include <string>
#include <string_view>

#include "common/status.h"

namespace rackmark {

// For bash, zsh or fish. INVALID_ARGUMENT: another shell.
absl::StatusOr<std::string> CompletionScript(std::string_view shell);

}  // namespace rackmark
