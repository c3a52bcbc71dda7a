#include "cli/support.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "cli/exit_status.h"
#include "common/exit_codes.h"
#include "common/text.h"
#include "common/zone.h"
#include "rpc/coordinators.h"
#include "rpc/identity.h"

namespace rackmark {
namespace {

constexpr size_t kJobBytesMax = 1 << 20;

int output_error = 0;  // the errno of the first write to stdout that failed; main's thread

// What a file names is beside that file, wherever the command is run.
absl::StatusOr<NamedText> ReadBeside(std::string_view path, std::string_view named_by) {
  const std::filesystem::path folder = std::filesystem::path(std::string(named_by)).parent_path();
  const std::string name = (folder / std::string(path)).string();
  auto text = ReadFile(name, kJobBytesMax);
  if (!text.ok()) return text.status();
  return NamedText{name, *std::move(text)};
}

// What is written before an id, and what it is the id of.
struct IdWords {
  char letter;
  std::string_view one;      // "job"
  std::string_view command;  // that lists them
};

absl::StatusOr<uint64_t> ParseName(std::string_view text, std::string_view cluster_id,
                                   const IdWords& words) {
  std::string_view number = text;
  const size_t dash = text.rfind('-');
  if (dash != std::string_view::npos) {
    if (text.substr(0, dash) != cluster_id.substr(0, 8)) {
      return absl::NotFoundError(absl::StrCat(
          ToAbsl(words.one), " ", EscapeControl(text), " is of another cluster; this one is ",
          ToAbsl(cluster_id.substr(0, 8)), ", its ", ToAbsl(words.one), "s are listed by rackmark ",
          ToAbsl(words.command)));
    }
    number = text.substr(dash + 1);
  }
  if (!number.empty() && number.front() == words.letter) number.remove_prefix(1);
  uint64_t id = 0;
  const char* end = number.data() + number.size();
  const auto parsed = std::from_chars(number.data(), end, id);
  if (parsed.ec != std::errc() || parsed.ptr != end || id == 0) {
    return absl::NotFoundError(absl::StrCat("\"", EscapeControl(text), "\" is no ",
                                            ToAbsl(words.one), "; write it as rackmark ",
                                            ToAbsl(words.command), " lists it"));
  }
  return id;
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  const auto unreadable = [&path](std::string_view why) {
    return absl::NotFoundError(
        absl::StrCat(EscapeControl(path), ": cannot be read: ", ToAbsl(why)));
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return unreadable("it is a folder; name a file in it");
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open()) {
    return unreadable(
        absl::StrCat(std::strerror(errno), "; check the path, which begins where you are"));
  }
  std::string text;
  std::string piece(1 << 16, '\0');
  while (file && text.size() <= bytes_max) {
    const size_t wanted = std::min(piece.size(), bytes_max + 1 - text.size());
    file.read(piece.data(), static_cast<std::streamsize>(wanted));
    text.append(piece, 0, static_cast<size_t>(file.gcount()));
  }
  if (file.bad()) return unreadable(std::strerror(errno));
  return text;
}

bool PausePlainly(Nanos duration) {
  poll(nullptr, 0, static_cast<int>(duration / kMillisecond));
  return true;
}

int Complain(const absl::Status& status, int exit) {
  // Here and not by each caller: what a coordinator says may hold names that others chose.
  const std::string message = EscapeControl(FromAbsl(status.message()));
  std::fprintf(stderr, "rackmark: %s\n", message.c_str());
  return exit;
}

void Warn(std::string_view text) {
  std::fprintf(stderr, "rackmark: warning: %s\n", EscapeControl(text).c_str());
}

DocumentResult ReadDocumentAt(const std::string& path, const std::vector<std::string>& set_flags,
                              TraceFiles& traces) {
  std::vector<Override> sets;
  for (const std::string& text : set_flags) {
    auto set = ParseOverride(text);
    if (!set.ok()) return {std::nullopt, {set.status()}};
    sets.push_back(*std::move(set));
  }
  auto text = ReadFile(path, kJobBytesMax);
  if (!text.ok()) {
    return {std::nullopt,
            {absl::NotFoundError(
                absl::StrCat(text.status().message(), " (to start from: jobs/library)"))}};
  }
  Finders finders;
  finders.traces = traces.Finder();
  finders.files = ReadBeside;
  finders.zones = [](std::string_view zone) { return FindZone(zone).status(); };
  return ReadDocument(*text, path, sets, finders);
}

absl::StatusOr<Document> LoadDocument(const CommandLine& line, TraceFiles& traces) {
  DocumentResult result = ReadDocumentAt(line.words.front(), line.sets, traces);
  if (!result.document) return result.problems.front();
  return *std::move(result.document);
}

int NotToRun(const CommandLine& line) {
  const std::string file = EscapeControl(line.words.front());
  return Complain(absl::InvalidArgumentError(absl::StrCat(
                      file, ": kind: is a schedule, which is set and not run; use rackmark ",
                      "schedule ", file)),
                  kExitBadSpec);
}

absl::StatusOr<std::unique_ptr<CoordinatorClient>> Connect(const std::string& endpoints,
                                                           const CommandLine& line,
                                                           CoordinatorClient::Pause pause) {
  ASSIGN_OR_RETURN(auto parsed, ParseEndpoints(endpoints));
  Security security;
  if (!line.tls_certificate.empty()) {
    security.tls = TlsFiles{line.tls_certificate, line.tls_key, line.tls_authority};
  }
  security.token_file = line.token_file;
  ASSIGN_OR_RETURN(auto coordinators, Coordinators::Create(std::move(parsed), std::move(security)));
  ASSIGN_OR_RETURN(std::string incarnation, NewIncarnation());
  return std::make_unique<CoordinatorClient>(std::move(coordinators), std::move(incarnation),
                                             std::move(pause));
}

bool Print(std::string_view text) {
  errno = 0;
  const bool written =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!written) OutputFailed(errno != 0 ? errno : EIO);
  return written;
}

void OutputFailed(int error) {
  if (output_error == 0) output_error = error;
}

int FinishOutput(int exit) {
  if (output_error == 0 && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)) {
    OutputFailed(errno != 0 ? errno : EIO);
  }
  if (output_error == 0) return exit;
  return Complain(ErrnoStatus(output_error,
                              "stdout cannot be written, so that the result is not "
                              "whole; look at what it is sent to"),
                  exit == kExitPass ? int{kExitError} : exit);
}

int ExitOfConnect(const absl::Status& status) {
  return absl::IsInvalidArgument(status) ? kExitUsage : ExitOfCall(status);
}

absl::StatusOr<uint64_t> JobOf(std::string_view text, CoordinatorClient& client) {
  RETURN_IF_ERROR(client.GetVersion(kCallPatience).status());
  return ParseJobName(text, client.cluster_id());
}

absl::StatusOr<uint64_t> SuiteOf(std::string_view text, CoordinatorClient& client) {
  RETURN_IF_ERROR(client.GetVersion(kCallPatience).status());
  return ParseName(text, client.cluster_id(), {'s', "suite", "suites"});
}

absl::StatusOr<uint64_t> ParseJobName(std::string_view text, std::string_view cluster_id) {
  return ParseName(text, cluster_id, {'j', "job", "jobs"});
}

}  // namespace rackmark
