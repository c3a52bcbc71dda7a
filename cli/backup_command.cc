// backup and restore: the store is the coordinator's, so its program does the work in our place.
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/support.h"
#include "common/exit_codes.h"

namespace rackmark::commands {
namespace {

// Becomes the coordinator's program; returns only if that cannot be started.
int Become(const std::vector<std::string>& arguments) {
  const auto folder = ProgramFolder();
  if (!folder.ok()) return Complain(folder.status(), kExitInternal);
  const std::string program = *folder + "/rackmark-coordinator";
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  return Complain(ErrnoStatus(errno, absl::StrCat("starting ", program)), kExitError);
}

}  // namespace

int Backup(const CommandLine& line) {
  if (!line.to) {
    return Complain(absl::InvalidArgumentError("--to names the new folder of the backup; give it"),
                    kExitUsage);
  }
  return Become({"--data", line.data.value_or(kDataDefault), "--backup-to", *line.to, "--output",
                 line.output_word});
}

int Restore(const CommandLine& line) {
  return Become({"--data", line.data.value_or(kDataDefault), "--restore-from", line.words.front(),
                 "--output", line.output_word});
}

}  // namespace rackmark::commands
