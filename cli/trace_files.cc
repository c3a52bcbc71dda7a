#include "cli/trace_files.h"

#include <set>
#include <utility>

#include "cli/support.h"
#include "common/sha256.h"
#include "common/text.h"
#include "trace/replay.h"

namespace rackmark {
TraceFinder TraceFiles::Finder() {
  return [this](std::string_view path, const v1::Load& asked) { return Find(path, asked); };
}

absl::StatusOr<const TraceFiles::File*> TraceFiles::Read(const std::string& path) {
  if (const auto it = files_.find(path); it != files_.end()) return &it->second;
  if (files_.size() >= kFilesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a job names at most ", kFilesMax, " traces; make several jobs"));
  }
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kTraceBytesMax));
  ASSIGN_OR_RETURN(Trace trace, ReadTrace(text, path));
  std::string sha256 = Sha256Hex(text);
  File file{std::move(text), std::move(sha256), std::move(trace)};
  return &files_.emplace(path, std::move(file)).first->second;
}

absl::StatusOr<TraceFacts> TraceFiles::Find(std::string_view path, const v1::Load& asked) {
  ASSIGN_OR_RETURN(const File* file, Read(std::string(path)));
  ReplaySettings settings = SettingsOf(asked.trace());
  if (asked.duration_ns() > 0) settings.duration_ns = asked.duration_ns();
  const absl::StatusOr<Replay> replay = MakeReplay(file->trace, settings);
  if (!replay.ok()) return Annotate(replay.status(), EscapeControl(path));
  TraceFacts facts;
  facts.load = asked;
  PutFacts(file->trace, *replay, facts.load);
  facts.load.mutable_trace()->set_sha256(file->sha256);
  facts.load.mutable_trace()->set_bytes(file->text.size());
  const ReplayRequest& longest = replay->Longest();
  facts.longest = uint64_t{longest.prompt_tokens} + longest.output_tokens;
  facts.longest_line = file->trace.requests[longest.source].line;
  return facts;
}

absl::Status TraceFiles::Upload(CoordinatorClient& client, Nanos patience,
                                const std::function<void(const std::string&)>& tell) const {
  std::set<std::string> sent;
  for (const auto& [path, file] : files_) {
    if (!sent.insert(file.sha256).second) continue;
    ASSIGN_OR_RETURN(const v1::FindArtifactReply found, client.FindArtifact(file.sha256, patience));
    if (found.present()) continue;
    RETURN_IF_ERROR(client.PutArtifact(file.sha256, file.text, patience).status());
    tell(absl::StrCat("uploaded ", EscapeControl(path), ": ",
                      FormatBytes(static_cast<double>(file.text.size())), ", ",
                      file.trace.requests.size(), " requests"));
  }
  return absl::OkStatus();
}

}  // namespace rackmark
