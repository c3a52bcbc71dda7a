// Starts one of our own programs with a log file, a lifeline and, if wanted, a pipe to say "ready"
// on. Any thread; the caller reaps.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "common/status.h"

namespace rackmark {

// Descriptor numbers inside the child.
constexpr int kChildLifelineFd = 3;
constexpr int kChildReadyFd = 4;

struct ChildOptions {
  std::string program;                 // path
  std::vector<std::string> arguments;  // without the program's name
  std::string log_file;                // stdout and stderr are appended
  int lifeline_fd = -1;                // the read end; becomes kChildLifelineFd
  std::optional<int> ready_fd;         // the write end; becomes kChildReadyFd
};

// In its own process group, so that a terminal's Ctrl-C reaches only us.
absl::StatusOr<pid_t> StartChild(const ChildOptions& options);

}  // namespace rackmark
