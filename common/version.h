// What this build is.
#pragma once

#include <string_view>

namespace rackmark {

std::string_view Version();    // "0.1.0"
std::string_view GitCommit();  // 12 hex digits, or empty outside a git checkout
std::string_view Compiler();   // "g++ 12.2.0"

}  // namespace rackmark
