// The commands: each takes its command line and returns the exit status. Results go to stdout,
// everything else to stderr. Which command has which handler: command_table.cc. Main's thread.
#pragma once

#include "cli/command_line.h"
#include "common/program.h"

namespace rackmark {

class CoordinatorClient;

// Runs the handler of `line.command`, which ParseCommandLine has found.
int RunCommand(const CommandLine& line);

// run and local, which have a life of their own (run_command.cc).
int RunFile(const CommandLine& line, StopSignal& stop);
int RunLocal(const CommandLine& line, StopSignal& stop);

namespace commands {

int Watch(const CommandLine& line, StopSignal& stop);
int Why(const CommandLine& line, CoordinatorClient& client);
int Cancel(const CommandLine& line, CoordinatorClient& client);

int Compare(const CommandLine& line);
int Validate(const CommandLine& line);
int Schema(const CommandLine& line);
int Completion(const CommandLine& line);

int Backup(const CommandLine& line);
int Restore(const CommandLine& line);

int Help(const CommandLine& line);
int PrintVersion(const CommandLine& line);

int Submit(const CommandLine& line, CoordinatorClient& client);
int Nodes(const CommandLine& line, CoordinatorClient& client);
int Jobs(const CommandLine& line, CoordinatorClient& client);
int Runs(const CommandLine& line, CoordinatorClient& client);
int Report(const CommandLine& line, CoordinatorClient& client);

// Suites, schedules and nodes (fleet_commands.cc).
int Suites(const CommandLine& line, CoordinatorClient& client);
int Schedule(const CommandLine& line, CoordinatorClient& client);
int Cordon(const CommandLine& line, CoordinatorClient& client);
int Drain(const CommandLine& line, CoordinatorClient& client);
int Uncordon(const CommandLine& line, CoordinatorClient& client);
int Quarantine(const CommandLine& line, CoordinatorClient& client);
int Readmit(const CommandLine& line, CoordinatorClient& client);
int Forget(const CommandLine& line, CoordinatorClient& client);

}  // namespace commands
}  // namespace rackmark
