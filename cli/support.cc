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
#include "jobs/spec.h"
#include "rpc/coordinators.h"
#include "rpc/identity.h"

namespace rackmark {
namespace {

constexpr size_t kJobBytesMax = 1 << 20;

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
  const std::string message(status.message());
  std::fprintf(stderr, "rackmark: %s\n", message.c_str());
  return exit;
}

ReadResult ReadJobAt(const std::string& path, const std::vector<std::string>& set_flags,
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
  return ReadJob(*text, path, sets, traces.Finder());
}

absl::StatusOr<v1::Job> LoadJob(const CommandLine& line, TraceFiles& traces) {
  ReadResult result = ReadJobAt(line.words.front(), line.sets, traces);
  if (!result.job) return result.problems.front();
  return *std::move(result.job);
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
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
         std::fflush(stdout) == 0;
}

int ExitOfConnect(const absl::Status& status) {
  return absl::IsInvalidArgument(status) ? kExitUsage : ExitOfCall(status);
}

absl::StatusOr<uint64_t> JobOf(std::string_view text, CoordinatorClient& client) {
  RETURN_IF_ERROR(client.GetVersion(kCallPatience).status());
  return ParseJobName(text, client.cluster_id());
}

absl::StatusOr<uint64_t> ParseJobName(std::string_view text, std::string_view cluster_id) {
  std::string_view number = text;
  const size_t dash = text.rfind('-');
  if (dash != std::string_view::npos) {
    if (text.substr(0, dash) != cluster_id.substr(0, 8)) {
      return absl::NotFoundError(
          absl::StrCat("job ", EscapeControl(text), " is of another cluster; this one is ",
                       ToAbsl(cluster_id.substr(0, 8)), ", its jobs are listed by rackmark jobs"));
    }
    number = text.substr(dash + 1);
  }
  if (!number.empty() && number.front() == 'j') number.remove_prefix(1);
  uint64_t id = 0;
  const char* end = number.data() + number.size();
  const auto parsed = std::from_chars(number.data(), end, id);
  if (parsed.ec != std::errc() || parsed.ptr != end || id == 0) {
    return absl::NotFoundError(absl::StrCat("\"", EscapeControl(text),
                                            "\" is no job; write it as rackmark jobs lists it"));
  }
  return id;
}

}  // namespace rackmark
