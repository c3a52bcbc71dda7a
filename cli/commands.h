// The commands: each takes its command line and returns the exit status. Results go to stdout,
// everything else to stderr. Main's thread.
#pragma once

#include "cli/command_line.h"
#include "common/program.h"

namespace rackmark {

// `stop` is there for run and local.
int RunCommand(const CommandLine& line, StopSignal* stop);

// run and local, which have a life of their own (run_command.cc).
int RunJob(const CommandLine& line, StopSignal& stop);
int RunLocal(const CommandLine& line, StopSignal& stop);

}  // namespace rackmark
