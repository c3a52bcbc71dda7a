#include "common/version.h"

namespace rackmark {

std::string_view Version() { return RACKMARK_VERSION; }
std::string_view GitCommit() { return RACKMARK_GIT_COMMIT; }
std::string_view Compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

}  // namespace rackmark
