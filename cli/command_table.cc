#include "cli/command_table.h"

#include "absl/strings/str_split.h"
#include "cli/commands.h"
#include "common/text.h"

namespace rackmark {
namespace {

constexpr unsigned Bit(Output output) { return 1U << static_cast<unsigned>(output); }

constexpr unsigned kTableOnly = Bit(Output::kTable) | Bit(Output::kJson);
constexpr unsigned kLists = kTableOnly | Bit(Output::kYaml);
constexpr unsigned kCompares = kLists | Bit(Output::kMarkdown);
constexpr unsigned kReports =
    kCompares | Bit(Output::kHtml) | Bit(Output::kCsv) | Bit(Output::kJunit);

constexpr size_t kWordsMany = 10'000;

struct OutputName {
  Output output;
  std::string_view word;
};
constexpr OutputName kOutputNames[] = {
    {Output::kTable, "table"}, {Output::kJson, "json"},         {Output::kYaml, "yaml"},
    {Output::kHtml, "html"},   {Output::kMarkdown, "markdown"}, {Output::kCsv, "csv"},
    {Output::kJunit, "junit"},
};

}  // namespace

// In the order of help: what one does first comes first.
const std::vector<Command>& Commands() {
  static const std::vector<Command> commands = {
      {"run", "FILE [flags]", "Run a job or a suite, show its progress, and write its reports.",
       kRemote | kJobFile | kCluster | kRun, kReports, Thing::kFile, 1, 1, RunFile},
      {"submit", "FILE [flags]", "Hand a job or a suite to a coordinator and return.",
       kRemote | kJobFile, kLists, Thing::kFile, 1, 1, commands::Submit},
      {"watch", "JOB [flags]", "Show the progress of a job until it ends.", kRemote, kTableOnly,
       Thing::kJob, 1, 1, commands::Watch},
      {"why", "JOB [flags]", "Say why a job is where it is, and what it waits for.", kRemote,
       kLists, Thing::kJob, 1, 1, commands::Why},
      {"cancel", "JOB [flags]", "End a job; what it has measured stays.", kRemote | kReason, kLists,
       Thing::kJob, 1, 1, commands::Cancel},
      {"nodes", "[flags]", "List the nodes that a coordinator knows.", kRemote, kLists,
       Thing::kNothing, 0, 0, commands::Nodes},
      {"jobs", "[flags]", "List jobs, newest first.", kRemote | kLimit, kLists, Thing::kNothing, 0,
       0, commands::Jobs},
      {"runs", "[JOB] [flags]", "List a job's runs in order, or the newest of all.",
       kRemote | kLimit, kLists, Thing::kJob, 0, 1, commands::Runs},
      {"suites", "[SUITE] [flags]", "List the newest suites, or show one: findings and jobs.",
       kRemote | kLimit, kLists, Thing::kText, 0, 1, commands::Suites},
      {"schedule", "FILE | list | remove NAME | suspend NAME | resume NAME [flags]",
       "Let a coordinator submit a job or a suite by a rule of time.", kRemote | kJobFile, kLists,
       Thing::kFile, 1, 2, commands::Schedule},
      {"cordon", "NODE [flags]", "Place nothing new on a node.", kRemote | kReason, kLists,
       Thing::kText, 1, 1, commands::Cordon},
      {"drain", "NODE [flags]", "Cordon a node, and let what is on it make room.",
       kRemote | kReason | kGrace, kLists, Thing::kText, 1, 1, commands::Drain},
      {"uncordon", "NODE [flags]", "Use a node again that was cordoned or drained.",
       kRemote | kReason, kLists, Thing::kText, 1, 1, commands::Uncordon},
      {"quarantine", "NODE [flags]", "Use a node for checks alone.", kRemote | kReason, kLists,
       Thing::kText, 1, 1, commands::Quarantine},
      {"readmit", "NODE [flags]", "Take a node out of quarantine and forget its offences.",
       kRemote | kReason, kLists, Thing::kText, 1, 1, commands::Readmit},
      {"forget", "NODE [flags]", "Forget a node that is lost and will not come back.", kRemote,
       kLists, Thing::kText, 1, 1, commands::Forget},
      {"report", "JOB [flags]", "Show or write the report of a job that has ended.",
       kRemote | kOutFile, kReports, Thing::kJob, 1, 1, commands::Report},
      {"compare", "A B [flags]", "Compare two jobs, or two files of report.json: B against A.",
       kMaybeRemote | kCompare, kCompares, Thing::kReport, 2, 2, commands::Compare},
      {"validate", "FILE... [flags]", "Check files of jobs, suites and schedules.", kJobFile,
       kLists, Thing::kFile, 1, kWordsMany, commands::Validate},
      {"schema", "job|suite|schedule", "Print the JSON Schema of such files, for editors.", 0, 0,
       Thing::kChoice, 1, 1, commands::Schema, "job suite schedule"},
      {"completion", "bash|zsh|fish", "Print the completion script of a shell.", 0, 0,
       Thing::kChoice, 1, 1, commands::Completion, "bash zsh fish"},
      {"local", "N [flags]", "Run a coordinator and N workers here until Ctrl-C.", kCluster,
       kTableOnly, Thing::kText, 1, 1, RunLocal},
      {"backup", "--to FOLDER [flags]", "Copy a coordinator's databases, in use or not.",
       kBackup | kBackupTo, kTableOnly, Thing::kNothing, 0, 0, commands::Backup},
      {"restore", "FOLDER [flags]", "Make a new coordinator's folder from a backup.", kBackup,
       kTableOnly, Thing::kFolder, 1, 1, commands::Restore},
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
       "folder for report.html and report.json [rackmark-out/JOB]; of a suite one in it for each "
       "part"},
      {kOutFile, "out", &CommandLine::out, Thing::kFile, "file to write [stdout]"},
      {kJobFile, "set", &CommandLine::sets, Thing::kText,
       "path=value below spec, e.g. load.rate=12/s; may be repeated"},
      {kCluster, "data", &CommandLine::data, Thing::kFolder,
       "folder of the local cluster's history [rackmark-data]"},
      {kBackup, "data", &CommandLine::data, Thing::kFolder,
       "the coordinator's folder; new or empty for restore [rackmark-data]"},
      {kBackupTo, "to", &CommandLine::to, Thing::kFolder, "folder of the backup; must be new"},
      {kCluster, "cpu-slots", &CommandLine::cpu_slots, Thing::kText,
       "CPU devices of each local worker", 1, 256},
      {kCompare, "tolerance", &CommandLine::tolerance, Thing::kText,
       "ratios within 1 +- this are the same, e.g. 3% [5%]"},
      {kCompare, "noise", &CommandLine::noise, Thing::kText,
       "how far apart two equal runs may lie, for jobs of single runs [not known]"},
      {kGrace, "grace", &CommandLine::grace, Thing::kText,
       "what a run gets to end in, e.g. 30s [each job's own]"},
      {kLimit, "limit", &CommandLine::limit, Thing::kText,
       "how many to list at most [100; of one job all]", 1, 10'000},
      {kReason, "reason", &CommandLine::reason, Thing::kText, "why, for the record"},
      {kRemote | kMaybeRemote, "coordinator", &CommandLine::coordinator, Thing::kText,
       "where it listens: unix:/path or host:port; of several, all with commas between "
       "($RACKMARK_COORDINATOR)"},
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

std::vector<std::string> ChoicesOf(const Command& command) {
  return absl::StrSplit(ToAbsl(command.choices), ' ', absl::SkipEmpty());
}

std::optional<Output> OutputOf(const Command& command, std::string_view word) {
  for (const OutputName& name : kOutputNames) {
    if (name.word == word && (command.outputs & Bit(name.output))) return name.output;
  }
  return std::nullopt;
}

}  // namespace rackmark
