#include "cli/support.h"

#include <charconv>
#include <cstdio>
#include <fstream>
#include <utility>

#include "common/exit_codes.h"
#include "common/text.h"
#include "jobs/spec.h"
#include "rpc/channel.h"
#include "rpc/endpoint.h"
#include "rpc/identity.h"

namespace rackmark {
namespace {

// One byte more than a job may have, so that the reader sees that it is too large.
constexpr std::streamsize kReadMax = (1 << 20) + 1;

absl::StatusOr<std::string> ReadJobFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<size_t>(kReadMax), '\0');
  if (file) file.read(text.data(), kReadMax);
  if (file.bad() || !file.is_open() || (file.fail() && !file.eof())) {
    return absl::NotFoundError(
        absl::StrCat(EscapeControl(path),
                     ": cannot be read; check the path (jobs to start from are in jobs/library)"));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

}  // namespace

int Complain(const absl::Status& status, int exit) {
  const std::string message(status.message());
  std::fprintf(stderr, "rackmark: %s\n", message.c_str());
  return exit;
}

absl::StatusOr<v1::Job> LoadJob(const CommandLine& line, TraceFiles& traces) {
  std::vector<Override> sets;
  for (const std::string& text : line.sets) {
    ASSIGN_OR_RETURN(sets.emplace_back(), ParseOverride(text));
  }
  const std::string& path = line.words.front();
  ASSIGN_OR_RETURN(const std::string text, ReadJobFile(path));
  return ParseJob(text, path, sets, traces.Finder());
}

absl::StatusOr<std::unique_ptr<CoordinatorClient>> Connect(const std::string& endpoint,
                                                           const CommandLine& line,
                                                           CoordinatorClient::Pause pause) {
  ASSIGN_OR_RETURN(const Endpoint parsed, ParseEndpoint(endpoint));
  Security security;
  if (!line.tls_certificate.empty()) {
    security.tls = TlsFiles{line.tls_certificate, line.tls_key, line.tls_authority};
  }
  security.token_file = line.token_file;
  ASSIGN_OR_RETURN(const auto channel, Dial(parsed, security));
  ASSIGN_OR_RETURN(std::string incarnation, NewIncarnation());
  return std::make_unique<CoordinatorClient>(channel, std::move(incarnation), std::move(pause));
}

void Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
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
