#include "cli/command_line.h"

#include <algorithm>
#include <string_view>

#include "cli/command_table.h"
#include "common/program.h"
#include "common/text.h"

namespace rackmark {
namespace {

std::string Listed(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : i + 1 == words.size() ? " or " : ", ", words[i]);
  }
  return text;
}

void AddRow(const FlagRow& row, CommandLine& line, Flags& flags) {
  std::visit(
      [&](auto member) {
        if constexpr (std::is_same_v<decltype(member), std::optional<int64_t> CommandLine::*>) {
          flags.Add(row.name, &(line.*member), row.help, row.min, row.max);
        } else {
          flags.Add(row.name, &(line.*member), row.help);
        }
      },
      row.member);
}

Flags FlagsOf(const Command& command, CommandLine& line) {
  Flags flags(absl::StrCat("rackmark ", ToAbsl(command.name)), command.usage, command.summary);
  if (command.outputs != 0) {
    flags.Add("output", &line.output_word, Listed(OutputWords(command)));
  }
  for (const FlagRow& row : FlagRows()) {
    if (row.groups & command.groups) AddRow(row, line, flags);
  }
  return flags;
}

absl::Status ReadOutput(const Command& command, CommandLine& line) {
  if (command.outputs == 0) return absl::OkStatus();
  if (const auto output = OutputOf(command, line.output_word)) {
    line.output = *output;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("--output \"", EscapeControl(line.output_word),
                                                 "\" is unknown; write ",
                                                 Listed(OutputWords(command))));
}

absl::Status CheckWords(const Command& command, const CommandLine& line) {
  if (line.words.size() < command.words_min || line.words.size() > command.words_max) {
    return absl::InvalidArgumentError(absl::StrCat("usage: rackmark ", ToAbsl(command.name), " ",
                                                   ToAbsl(command.usage), "; see rackmark help ",
                                                   ToAbsl(command.name)));
  }
  return absl::OkStatus();
}

int TlsFlags(const CommandLine& line) {
  return !line.tls_certificate.empty() + !line.tls_key.empty() + !line.tls_authority.empty();
}

// A flag that would do nothing was meant for something.
absl::Status CheckLocal(const CommandLine& line) {
  if (line.local) {
    if (TlsFlags(line) == 0 && line.token_file.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "--token-file and --tls-... mean nothing with --local, whose socket is your own; remove "
        "them");
  }
  const char* flag = line.keep        ? "--keep"
                     : line.data      ? "--data"
                     : line.cpu_slots ? "--cpu-slots"
                                      : nullptr;
  if (flag == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(flag, " means nothing without --local; remove it"));
}

absl::Status CheckCluster(const Command& command, const CommandLine& line) {
  if (!(command.groups & (kRemote | kMaybeRemote))) return absl::OkStatus();
  if (line.local && line.coordinator) {
    return absl::InvalidArgumentError(
        "--local and --coordinator exclude each other; keep the one that should run the job");
  }
  if ((command.groups & kRemote) && !line.local && !line.coordinator) {
    return absl::InvalidArgumentError(
        absl::StrCat("no coordinator is named; use --coordinator ENDPOINT or $RACKMARK_COORDINATOR",
                     (command.groups & kRun) ? ", or --local N to start a cluster here" : ""));
  }
  RETURN_IF_ERROR(CheckLocal(line));
  const int tls = TlsFlags(line);
  if (tls != 0 && tls != 3) {
    return absl::InvalidArgumentError("--tls-cert, --tls-key and --tls-ca go together; give all");
  }
  return absl::OkStatus();
}

std::string CommandList() {
  size_t width = 0;
  for (const Command& command : Commands()) width = std::max(width, command.name.size());
  std::string text;
  for (const Command& command : Commands()) {
    std::string left = absl::StrCat("  ", ToAbsl(command.name));
    left.resize(width + 4, ' ');
    absl::StrAppend(&text, left, ToAbsl(command.summary), "\n");
  }
  return text;
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(
    const std::vector<std::string>& arguments,
    const std::optional<std::string>& environment_coordinator) {
  CommandLine line;
  line.command = arguments.empty() ? "help" : arguments.front();
  if (line.command == "--help" || line.command == "-h") line.command = "help";
  if (line.command == "--version") line.command = "version";
  const Command* command = FindCommand(line.command);
  if (command == nullptr) return UnknownCommand(line.command);
  std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  for (const std::string& argument : rest) {
    if (argument == "--") break;
    if (argument != "--help" && argument != "-h") continue;
    line.words = {line.command};
    line.command = "help";
    return line;
  }
  Flags flags = FlagsOf(*command, line);
  RETURN_IF_ERROR(flags.Parse(rest, &line.words));
  RETURN_IF_ERROR(ReadOutput(*command, line));
  if (!line.coordinator && !line.local && (command->groups & (kRemote | kMaybeRemote))) {
    line.coordinator = environment_coordinator;
  }
  RETURN_IF_ERROR(CheckWords(*command, line));
  RETURN_IF_ERROR(CheckCluster(*command, line));
  return line;
}

absl::StatusOr<std::string> HelpText(const std::string& name) {
  if (!name.empty()) {
    const Command* command = FindCommand(name);
    if (command == nullptr) return UnknownCommand(name);
    CommandLine line;
    return FlagsOf(*command, line).Help();
  }
  return absl::StrCat(
      "rackmark COMMAND [flags]: benchmark a cluster and judge what it measured\n\n", CommandList(),
      "\nStart with: rackmark run jobs/library/quickstart.yaml --local 2\n"
      "Flags of a command: rackmark help COMMAND\n\n"
      "Exit status: 0 PASS, 1 FAIL, 2 usage, 3 INVALID, 4 ERROR, 5 TIMEOUT, 6 SKIPPED,\n"
      "  7 INCOMPLETE (a suite),\n"
      "  10 bad job file, 11 impossible gang, 12 coordinator unreachable, 13 in use,\n"
      "  14 bad database, 15 no common protocol, 16 refused, 17 fenced, 70 our bug,\n"
      "  130 CANCELLED\n");
}

}  // namespace rackmark
