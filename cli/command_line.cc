#include "cli/command_line.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "common/text.h"

namespace rackmark {
namespace {

// Which groups of flags a command takes.
enum Group : unsigned {
  kOutput = 1,
  kRemote = 2,  // --coordinator and its credentials
  kJobFile = 4,
  kCluster = 8,  // of a local cluster
  kRun = 16,
  kOutFile = 32,
};

struct Command {
  std::string_view name;
  std::string_view usage;
  std::string_view summary;
  unsigned groups;
  size_t words_min;
  size_t words_max;
};

constexpr std::array<Command, 9> kCommands = {{
    {"run", "FILE [flags]", "Run a job, show its progress, and write its report.",
     kOutput | kRemote | kJobFile | kCluster | kRun, 1, 1},
    {"submit", "FILE [flags]", "Hand a job to a coordinator and return.",
     kOutput | kRemote | kJobFile, 1, 1},
    {"nodes", "[flags]", "List the nodes that a coordinator knows.", kOutput | kRemote, 0, 0},
    {"jobs", "[flags]", "List jobs, newest first.", kOutput | kRemote, 0, 0},
    {"runs", "[JOB] [flags]", "List the runs of a job, or of all.", kOutput | kRemote, 0, 1},
    {"report", "JOB [flags]", "Show or write the report of a job that has ended.",
     kOutput | kRemote | kOutFile, 1, 1},
    {"local", "N [flags]", "Run a coordinator and N workers here until Ctrl-C.", kOutput | kCluster,
     1, 1},
    {"version", "[flags]", "Print the version.", kOutput, 0, 0},
    {"help", "[COMMAND]", "Explain a command.", 0, 0, 1},
}};

const Command* FindCommand(std::string_view name) {
  for (const Command& command : kCommands) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

void AddRemote(Flags& flags, CommandLine& line) {
  flags.Add("coordinator", &line.coordinator,
            "where it listens: unix:/path or host:port ($RACKMARK_COORDINATOR)");
  flags.Add("token-file", &line.token_file, "file with this client's token, mode 0600");
  flags.Add("tls-cert", &line.tls_certificate, "PEM file, this client's certificate");
  flags.Add("tls-key", &line.tls_key, "PEM file, its key");
  flags.Add("tls-ca", &line.tls_authority, "PEM file, who may sign the coordinator's");
}

Flags FlagsOf(const Command& command, CommandLine& line, std::string& output) {
  Flags flags(absl::StrCat("rackmark ", ToAbsl(command.name)), command.usage, command.summary);
  if (command.groups & kOutput) {
    const bool html = (command.groups & kOutFile) != 0;
    flags.Add("output", &output, html ? "table, json or html" : "table or json");
  }
  if (command.groups & kRun) {
    flags.Add("local", &line.local, "start a cluster of this many workers here for the job", 1, 64);
    flags.Add("keep", &line.keep, "with --local: keep the cluster after the job until Ctrl-C");
    flags.Add("out", &line.out, "folder for report.html and report.json [rackmark-out/JOB]");
  }
  if (command.groups & kOutFile) flags.Add("out", &line.out, "file to write [stdout]");
  if (command.groups & kJobFile) {
    flags.Add("set", &line.sets, "path=value below spec, e.g. load.rate=12/s; may be repeated");
  }
  if (command.groups & kCluster) {
    flags.Add("data", &line.data, "folder of the local cluster's history");
    flags.Add("cpu-slots", &line.cpu_slots, "CPU devices of each local worker", 1, 256);
  }
  if (command.groups & kRemote) AddRemote(flags, line);
  return flags;
}

absl::StatusOr<Output> OutputOf(const std::string& word, bool html) {
  if (word == "table") return Output::kTable;
  if (word == "json") return Output::kJson;
  if (word == "html" && html) return Output::kHtml;
  return absl::InvalidArgumentError(absl::StrCat("--output \"", EscapeControl(word),
                                                 "\" is unknown; write table",
                                                 html ? ", json or html" : " or json"));
}

absl::Status CheckWords(const Command& command, const CommandLine& line) {
  if (line.words.size() < command.words_min || line.words.size() > command.words_max) {
    return absl::InvalidArgumentError(absl::StrCat("usage: rackmark ", ToAbsl(command.name), " ",
                                                   ToAbsl(command.usage), "; see rackmark help ",
                                                   ToAbsl(command.name)));
  }
  return absl::OkStatus();
}

absl::Status CheckCluster(const Command& command, const CommandLine& line) {
  if (!(command.groups & kRemote)) return absl::OkStatus();
  if (line.local && line.coordinator) {
    return absl::InvalidArgumentError(
        "--local and --coordinator exclude each other; keep the one that should run the job");
  }
  if (!line.local && !line.coordinator) {
    return absl::InvalidArgumentError(
        absl::StrCat("no coordinator is named; use --coordinator ENDPOINT or $RACKMARK_COORDINATOR",
                     (command.groups & kRun) ? ", or --local N to start a cluster here" : ""));
  }
  if (!line.local && line.keep) {
    return absl::InvalidArgumentError("--keep means nothing without --local; remove it");
  }
  const int tls =
      !line.tls_certificate.empty() + !line.tls_key.empty() + !line.tls_authority.empty();
  if (tls != 0 && tls != 3) {
    return absl::InvalidArgumentError("--tls-cert, --tls-key and --tls-ca go together; give all");
  }
  return absl::OkStatus();
}

std::string CommandList() {
  std::string text;
  for (const Command& command : kCommands) {
    std::string left = absl::StrCat("  ", ToAbsl(command.name));
    left.resize(12, ' ');
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
  if (command == nullptr) {
    std::vector<std::string> names;
    for (const Command& each : kCommands) names.emplace_back(each.name);
    const std::string nearest = Nearest(line.command, names);
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown command \"", EscapeControl(line.command), "\"; ",
        nearest.empty() ? "see rackmark help" : absl::StrCat("did you mean \"", nearest, "\"?")));
  }
  std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  for (const std::string& argument : rest) {
    if (argument != "--help" && argument != "-h") continue;
    line.words = {line.command};
    line.command = "help";
    return line;
  }
  std::string output = "table";
  Flags flags = FlagsOf(*command, line, output);
  RETURN_IF_ERROR(flags.Parse(rest, &line.words));
  ASSIGN_OR_RETURN(line.output, OutputOf(output, (command->groups & kOutFile) != 0));
  if (!line.coordinator && !line.local && (command->groups & kRemote)) {
    line.coordinator = environment_coordinator;
  }
  RETURN_IF_ERROR(CheckWords(*command, line));
  RETURN_IF_ERROR(CheckCluster(*command, line));
  return line;
}

std::string HelpText(const std::string& name) {
  const Command* command = FindCommand(name);
  if (command != nullptr && command->groups != 0) {
    CommandLine line;
    std::string output = "table";
    return FlagsOf(*command, line, output).Help();
  }
  return absl::StrCat(
      "rackmark COMMAND [flags]: benchmark a cluster and judge what it measured\n\n", CommandList(),
      "\nStart with: rackmark run jobs/library/quickstart.yaml --local 2\n"
      "Flags of a command: rackmark help COMMAND\n\n"
      "Exit status: 0 PASS, 1 FAIL, 2 usage, 3 INVALID, 4 ERROR, 5 TIMEOUT, 6 SKIPPED,\n"
      "  10 bad job file, 11 impossible gang, 12 coordinator unreachable, 13 in use,\n"
      "  14 bad database, 15 no common protocol, 16 refused, 17 fenced, 70 our bug,\n"
      "  130 CANCELLED\n");
}

}  // namespace rackmark
