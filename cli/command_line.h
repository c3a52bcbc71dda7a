// What was asked for: a command and its flags, from argv. Pure but for --help.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/status.h"

namespace rackmark {

enum class Output { kTable, kJson, kYaml, kHtml, kMarkdown, kCsv, kJunit };

constexpr const char* kDataDefault = "rackmark-data";

// All flags of all commands; each command accepts its own.
struct CommandLine {
  std::string command;
  std::vector<std::string> words;  // FILE, JOB or N
  std::string output_word = "table";
  Output output = Output::kTable;  // what that word means
  std::optional<std::string> coordinator;
  std::string token_file;
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_authority;
  std::vector<std::string> sets;
  std::optional<int64_t> local;
  std::optional<int64_t> cpu_slots;
  std::optional<std::string> data;  // missing: kDataDefault
  std::optional<std::string> out;
  std::optional<std::string> to;
  bool keep = false;
  std::optional<int64_t> limit;
  std::string reason;
  std::string grace;      // a duration; empty = each job's own
  std::string tolerance;  // a share; empty = the default
  std::string noise;
};

// What a list's request says: 0 = as many as the coordinator sends unasked.
inline uint32_t LimitOf(const CommandLine& line) {
  return static_cast<uint32_t>(line.limit.value_or(0));
}

// `arguments` without the program's name; `environment_coordinator` is $RACKMARK_COORDINATOR.
// INVALID_ARGUMENT: one sentence for kExitUsage.
absl::StatusOr<CommandLine> ParseCommandLine(
    const std::vector<std::string>& arguments,
    const std::optional<std::string>& environment_coordinator);

// The text of `rackmark help`, or of `rackmark help COMMAND`. INVALID_ARGUMENT: no such command.
absl::StatusOr<std::string> HelpText(const std::string& command);

}  // namespace rackmark
