#include "cli/command_table.h"

#include "cli/commands.h"
#include "common/text.h"

namespace rackmark {
namespace {

constexpr unsigned Bit(Output output) { return 1U << static_cast<unsigned>(output); }

constexpr unsigned kTableOnly = Bit(Output::kTable) | Bit(Output::kJson);
constexpr unsigned kLists = kTableOnly | Bit(Output::kYaml);
constexpr unsigned kReports = kLists | Bit(Output::kHtml);

struct OutputName {
  Output output;
  std::string_view word;
};
constexpr OutputName kOutputNames[] = {
    {Output::kTable, "table"},
    {Output::kJson, "json"},
    {Output::kYaml, "yaml"},
    {Output::kHtml, "html"},
};

}  // namespace

// In the order of help: what one does first comes first.
const std::vector<Command>& Commands() {
  static const std::vector<Command> commands = {
      {"run", "FILE [flags]", "Run a job, show its progress, and write its report.",
       kRemote | kJobFile | kCluster | kRun, kReports, Thing::kFile, 1, 1, RunJob},
      {"submit", "FILE [flags]", "Hand a job to a coordinator and return.", kRemote | kJobFile,
       kLists, Thing::kFile, 1, 1, commands::Submit},
      {"nodes", "[flags]", "List the nodes that a coordinator knows.", kRemote, kLists,
       Thing::kNothing, 0, 0, commands::Nodes},
      {"jobs", "[flags]", "List jobs, newest first.", kRemote, kLists, Thing::kNothing, 0, 0,
       commands::Jobs},
      {"runs", "[JOB] [flags]", "List the runs of a job, or of all.", kRemote, kLists, Thing::kJob,
       0, 1, commands::Runs},
      {"report", "JOB [flags]", "Show or write the report of a job that has ended.",
       kRemote | kOutFile, kReports, Thing::kJob, 1, 1, commands::Report},
      {"local", "N [flags]", "Run a coordinator and N workers here until Ctrl-C.", kCluster,
       kTableOnly, Thing::kText, 1, 1, RunLocal},
      {"version", "[flags]", "Print the version.", 0, kLists, Thing::kNothing, 0, 0,
       commands::PrintVersion},
      {"help", "[COMMAND]", "Explain a command.", 0, 0, Thing::kCommand, 0, 1, commands::Help},
  };
  return commands;
}

const std::vector<FlagRow>& FlagRows() {
  static const std::vector<FlagRow> rows = {
      {kRun, "local", &CommandLine::local, Thing::kText,
       "start a cluster of this many workers here for the job", 1, 64},
      {kRun, "keep", &CommandLine::keep, Thing::kNothing,
       "with --local: keep the cluster after the job until Ctrl-C"},
      {kRun, "out", &CommandLine::out, Thing::kFolder,
       "folder for report.html and report.json [rackmark-out/JOB]"},
      {kOutFile, "out", &CommandLine::out, Thing::kFile, "file to write [stdout]"},
      {kJobFile, "set", &CommandLine::sets, Thing::kText,
       "path=value below spec, e.g. load.rate=12/s; may be repeated"},
      {kCluster, "data", &CommandLine::data, Thing::kFolder,
       "folder of the local cluster's history"},
      {kCluster, "cpu-slots", &CommandLine::cpu_slots, Thing::kText,
       "CPU devices of each local worker", 1, 256},
      {kRemote | kMaybeRemote, "coordinator", &CommandLine::coordinator, Thing::kText,
       "where it listens: unix:/path or host:port ($RACKMARK_COORDINATOR)"},
      {kRemote | kMaybeRemote, "token-file", &CommandLine::token_file, Thing::kFile,
       "file with this client's token, mode 0600"},
      {kRemote | kMaybeRemote, "tls-cert", &CommandLine::tls_certificate, Thing::kFile,
       "PEM file, this client's certificate"},
      {kRemote | kMaybeRemote, "tls-key", &CommandLine::tls_key, Thing::kFile, "PEM file, its key"},
      {kRemote | kMaybeRemote, "tls-ca", &CommandLine::tls_authority, Thing::kFile,
       "PEM file, who may sign the coordinator's"},
  };
  return rows;
}

const Command* FindCommand(std::string_view name) {
  for (const Command& command : Commands()) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

absl::Status UnknownCommand(std::string_view name) {
  std::vector<std::string> names;
  for (const Command& each : Commands()) names.emplace_back(each.name);
  const std::string nearest = Nearest(name, names);
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown command \"", EscapeControl(name), "\"; ",
      nearest.empty() ? "see rackmark help" : absl::StrCat("did you mean \"", nearest, "\"?")));
}

std::vector<std::string> OutputWords(const Command& command) {
  std::vector<std::string> words;
  for (const OutputName& name : kOutputNames) {
    if (command.outputs & Bit(name.output)) words.emplace_back(name.word);
  }
  return words;
}

std::optional<Output> OutputOf(const Command& command, std::string_view word) {
  for (const OutputName& name : kOutputNames) {
    if (name.word == word && (command.outputs & Bit(name.output))) return name.output;
  }
  return std::nullopt;
}

}  // namespace rackmark
