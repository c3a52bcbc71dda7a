// validate, schema, completion and compare: what needs no coordinator, or just files.
#include <filesystem>
#include <optional>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/exit_status.h"
#include "cli/output_text.h"
#include "cli/report_output.h"
#include "cli/support.h"
#include "cli/validate.h"
#include "common/exit_codes.h"
#include "common/text.h"
#include "jobs/schema.h"
#include "jobs/units.h"
#include "report/compare.h"
#include "report/read_json.h"

namespace rackmark::commands {
namespace {

// A share such as 5%, if the flag is there.
absl::StatusOr<std::optional<double>> ShareOf(std::string_view flag, const std::string& text) {
  if (text.empty()) return std::optional<double>();
  const auto share = units::ParsePercent(text);
  if (!share.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", ToAbsl(flag), " ", share.status().message()));
  }
  if (*share >= 1) {
    return absl::InvalidArgumentError(absl::StrCat("--", ToAbsl(flag), " must be below 100%"));
  }
  return std::optional<double>(*share);
}

absl::StatusOr<CompareOptions> CompareOptionsOf(const CommandLine& line) {
  CompareOptions options;
  ASSIGN_OR_RETURN(const std::optional<double> tolerance, ShareOf("tolerance", line.tolerance));
  options.tolerance = tolerance.value_or(options.tolerance);
  ASSIGN_OR_RETURN(options.stated_noise, ShareOf("noise", line.noise));
  return options;
}

// No name of a job has a slash or a dot; a file that is not there is missed as a file.
bool IsFile(const std::string& word) {
  std::error_code ignored;
  return word.find_first_of("/.") != word.npos || std::filesystem::exists(word, ignored);
}

absl::StatusOr<v1::JobSummary> SummaryOf(const std::string& word, CoordinatorClient* client) {
  if (IsFile(word)) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(word, kReportJsonBytesMax));
    auto summary = ReadReportJson(text);
    if (!summary.ok()) return Annotate(summary.status(), EscapeControl(word));
    return summary;
  }
  if (client == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("\"", EscapeControl(word), "\" is no file, and no coordinator is named that ",
                     "could know a job of that name; write the path of a report.json, or use ",
                     "--coordinator ENDPOINT or $RACKMARK_COORDINATOR"));
  }
  ASSIGN_OR_RETURN(const uint64_t id, JobOf(word, *client));
  ASSIGN_OR_RETURN(v1::GetReportReply reply, client->GetReport(id, kCallPatience));
  return std::move(*reply.mutable_summary());
}

std::string CompareText(const Comparison& comparison, Output output) {
  switch (output) {
    case Output::kJson: return RenderCompareJson(comparison);
    case Output::kYaml: return JsonToYaml(RenderCompareJson(comparison));
    case Output::kMarkdown: return RenderCompareMarkdown(comparison);
    default: return RenderCompareTerminal(comparison, TerminalOf(1));
  }
}

int ExitOfCompare(CompareVerdict verdict) {
  switch (verdict) {
    case CompareVerdict::kSame:
    case CompareVerdict::kFaster: return kExitPass;
    case CompareVerdict::kSlower: return kExitFail;
    case CompareVerdict::kCannotSay: break;
  }
  return kExitInvalid;
}

}  // namespace

int Validate(const CommandLine& line) {
  std::vector<Validated> files;
  for (const std::string& path : line.words) files.push_back(ValidateFile(path, line.sets));
  bool good = true;
  for (const Validated& file : files) {
    good = good && file.errors.empty();
    if (line.output != Output::kTable) continue;
    for (const ValidationError& error : file.errors) {
      std::fprintf(stderr, "%s\n", EscapeControl(error.text).c_str());
    }
    if (file.errors.empty()) Print(ValidatedText(file));
  }
  if (line.output == Output::kJson) Print(ValidatedJson(files));
  if (line.output == Output::kYaml) Print(JsonToYaml(ValidatedJson(files)));
  return good ? kExitPass : kExitBadSpec;
}

int Schema(const CommandLine& line) {
  const std::string& word = line.words.front();
  if (word == "job") {
    Print(JobSchema());
  } else if (word == "suite") {
    Print(SuiteSchema());
  } else if (word == "schedule") {
    Print(ScheduleSchema());
  } else {
    return Complain(absl::InvalidArgumentError(
                        absl::StrCat("there is no schema \"", EscapeControl(word),
                                     "\"; write rackmark schema job, suite or schedule")),
                    kExitUsage);
  }
  return kExitPass;
}

int Completion(const CommandLine& line) {
  const auto script = CompletionScript(line.words.front());
  if (!script.ok()) return Complain(script.status(), kExitUsage);
  Print(*script);
  return kExitPass;
}

int Compare(const CommandLine& line) {
  const auto options = CompareOptionsOf(line);
  if (!options.ok()) return Complain(options.status(), kExitUsage);
  std::unique_ptr<CoordinatorClient> client;
  if (line.coordinator && !(IsFile(line.words[0]) && IsFile(line.words[1]))) {
    auto connected = Connect(*line.coordinator, line, PausePlainly);
    if (!connected.ok()) return Complain(connected.status(), ExitOfConnect(connected.status()));
    client = *std::move(connected);
  }
  std::vector<v1::JobSummary> summaries;
  for (const std::string& word : line.words) {
    auto summary = SummaryOf(word, client.get());
    if (!summary.ok()) {
      const int exit = IsFile(word) ? kExitUsage : ExitOfCall(summary.status());
      return Complain(summary.status(), exit);
    }
    summaries.push_back(*std::move(summary));
  }
  const Comparison comparison = CompareJobs(summaries[0], summaries[1], *options);
  Print(CompareText(comparison, line.output));
  return ExitOfCompare(comparison.verdict);
}

}  // namespace rackmark::commands
