// The one table of commands and the one table of flags. Parsing, help, completion and dispatch all
// read these, so a row here is all that a new command or flag needs besides its handler. Constant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cli/command_line.h"

namespace rackmark {

class CoordinatorClient;
class StopSignal;

// Which groups of flags a command takes.
enum FlagGroup : unsigned {
  kRemote = 1U << 0,       // --coordinator and its credentials; without one it is an error
  kMaybeRemote = 1U << 1,  // the same flags, for a command that can do without
  kJobFile = 1U << 2,
  kCluster = 1U << 3,  // of a local cluster
  kRun = 1U << 4,
  kOutFile = 1U << 5,
  kReason = 1U << 6,
  kCompare = 1U << 7,
  kBackup = 1U << 8,  // of a coordinator's folder
  kBackupTo = 1U << 9,
  kGrace = 1U << 10,
  kLimit = 1U << 11,  // of a list
};

// What a word or a flag's value is: what completion offers for it.
enum class Thing { kNothing, kText, kFile, kFolder, kJob, kReport, kCommand, kChoice };

// A command that talks to nobody or finds its own coordinator; one that makes calls and ends; one
// that lives long enough to be stopped.
using PlainHandler = int (*)(const CommandLine&);
using RemoteHandler = int (*)(const CommandLine&, CoordinatorClient&);
using LongHandler = int (*)(const CommandLine&, StopSignal&);

struct Command {
  std::string_view name;
  std::string_view usage;
  std::string_view summary;
  unsigned groups;
  unsigned outputs;  // Output values as bits; 0 = it has no --output
  Thing word;        // what its words are
  size_t words_min;
  size_t words_max;
  std::variant<PlainHandler, RemoteHandler, LongHandler> handler;
  std::string_view choices = "";  // of kChoice: "bash zsh fish"
};

struct FlagRow {
  unsigned groups;  // of the commands that take it
  std::string_view name;
  std::variant<std::string CommandLine::*, std::optional<std::string> CommandLine::*,
               bool CommandLine::*, std::vector<std::string> CommandLine::*,
               std::optional<int64_t> CommandLine::*>
      member;
  Thing value;  // kNothing: a switch
  std::string_view help;
  int64_t min = 0;  // of a number
  int64_t max = 0;
};

const std::vector<Command>& Commands();
const std::vector<FlagRow>& FlagRows();

const Command* FindCommand(std::string_view name);
// "unknown command "x"; did you mean "y"?"
absl::Status UnknownCommand(std::string_view name);
// The words of --output for this command, kTable first.
std::vector<std::string> OutputWords(const Command& command);
std::vector<std::string> ChoicesOf(const Command& command);
std::optional<Output> OutputOf(const Command& command, std::string_view word);

}  // namespace rackmark
