// The traces that a job names, read from this machine: each once, checked, and kept until they are
// uploaded by their hash (PROTOCOL 7). Main's thread.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "cli/coordinator_client.h"
#include "common/status.h"
#include "jobs/load.h"
#include "trace/trace.h"

namespace rackmark {

class TraceFiles {
 public:
  // For ParseJob; valid as long as this object.
  TraceFinder Finder();

  // Sends those that the coordinator has not. Each sentence for people goes to `tell`.
  absl::Status Upload(CoordinatorClient& client, Nanos patience,
                      const std::function<void(const std::string&)>& tell) const;

 private:
  struct File {
    std::string text;
    std::string sha256;
    Trace trace;
  };
  static constexpr size_t kFilesMax = 16;  // of one job; a sweep may name several

  absl::StatusOr<TraceFacts> Find(std::string_view path, const v1::Load& asked);
  absl::StatusOr<const File*> Read(const std::string& path);

  std::map<std::string, File> files_;  // by path
};

}  // namespace rackmark
