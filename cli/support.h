// What several commands need: the job's file, the coordinator's channel, errors and JSON on their
// streams. Main's thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cli/command_line.h"
#include "cli/coordinator_client.h"
#include "cli/trace_files.h"
#include "common/status.h"
#include "jobs/document.h"

namespace rackmark {

constexpr Nanos kCallPatience = 10 * kSecond;

// "rackmark: <sentence>" on stderr; returns `exit`.
int Complain(const absl::Status& status, int exit);

// "rackmark: warning: <text>" on stderr.
void Warn(std::string_view text);

// Up to one byte more than `bytes_max`, so that the reader sees that it is too large. NOT_FOUND,
// with the reason and what to do.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max);

// A Pause for commands that have no StopSignal: a signal ends the process by its default.
bool PausePlainly(Nanos duration);

// The file with these --set flags, or all that is wrong with it and with the files that it names,
// which lie beside it.
DocumentResult ReadDocumentAt(const std::string& path, const std::vector<std::string>& set_flags,
                              TraceFiles& traces);

// The job, suite or schedule of the command line's FILE with its --set flags. Any error is
// kExitBadSpec. `traces` holds the traces that it names, for their upload.
absl::StatusOr<Document> LoadDocument(const CommandLine& line, TraceFiles& traces);

// What FILE is a schedule's, where something is to be run at once. Returns the exit status.
int NotToRun(const CommandLine& line);

// `endpoints`: of one coordinator, or of several with commas between. `pause`: see
// CoordinatorClient.
absl::StatusOr<std::unique_ptr<CoordinatorClient>> Connect(const std::string& endpoints,
                                                           const CommandLine& line,
                                                           CoordinatorClient::Pause pause);

// False: stdout takes no more. Whoever goes on all the same need not tell: FinishOutput does.
bool Print(std::string_view text);

// The same of what is written to stdout by other means; `error` is the errno.
void OutputFailed(int error);

// The last thing of main: says it if anything of the output did not get where it should. A result
// that nobody got must not look like a PASS to a script, so that kExitPass becomes kExitError.
int FinishOutput(int exit);

// Exit status of a Connect that failed.
int ExitOfConnect(const absl::Status& status);

// "3", "j3" or "1a2b3c4d-j3", as `rackmark jobs` shows it. The cluster part must be `cluster_id`'s.
absl::StatusOr<uint64_t> ParseJobName(std::string_view text, std::string_view cluster_id);
// The same, after asking the coordinator which cluster it is.
absl::StatusOr<uint64_t> JobOf(std::string_view text, CoordinatorClient& client);
// Of a suite: "3", "s3" or "1a2b3c4d-s3".
absl::StatusOr<uint64_t> SuiteOf(std::string_view text, CoordinatorClient& client);

}  // namespace rackmark
