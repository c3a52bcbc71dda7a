// rackmark: the command line.
#include <csignal>
#include <cstdlib>

#include "cli/commands.h"
#include "cli/support.h"
#include "common/exit_codes.h"

int main(int argc, char** argv) {
  using namespace rackmark;
  std::signal(SIGPIPE, SIG_IGN);
  const char* named = std::getenv("RACKMARK_COORDINATOR");
  const auto line = ParseCommandLine(
      std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc),
      named != nullptr && *named != '\0' ? std::optional<std::string>(named) : std::nullopt);
  if (!line.ok()) return Complain(line.status(), kExitUsage);
  return FinishOutput(RunCommand(*line));
}
