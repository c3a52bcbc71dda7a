// Starts, signals and reaps rank processes. An interface, so that tests need no process. Used by
// the daemon's loop thread only: a child's parent-death signal follows the thread that forked it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"
#include "rackmark/v1/cluster.pb.h"

namespace rackmark {

struct RankProcess {
  pid_t pid = 0;       // also its process group
  int pipe_fd = -1;    // our end of its descriptor 3; the caller owns it
  int stderr_fd = -1;  // what it says on stdout and stderr; the caller owns it
};

class ProcessRunner {
 public:
  virtual ~ProcessRunner() = default;
  // A rank of the program for that kind of device, which calls its shared-memory segment, if it
  // makes one, `segment`. FAILED_PRECONDITION, with the remedy, if that program is not there.
  virtual absl::StatusOr<RankProcess> Start(v1::DeviceKind kind, const std::string& segment) = 0;
  // SIGKILL to the whole process group of a child that was not reaped yet.
  virtual void Kill(pid_t pid) = 0;
  // How it ended, in words ("exit status 3", "killed by signal 11 (Segmentation fault)"); missing
  // while it lives. After an answer the pid means nothing any more.
  virtual std::optional<std::string> Reap(pid_t pid) = 0;
};

// One program per kind of device, because one that links CUDA does not start without it.
struct RankPrograms {
  std::string cpu;  // rackmark-rank
  std::string gpu;  // rackmark-rank-cuda
};

// program `arguments`... `--fd 3 --segment NAME`, in its own process group, with nothing else of
// ours open.
std::unique_ptr<ProcessRunner> RealProcesses(RankPrograms programs,
                                             std::vector<std::string> arguments);

}  // namespace rackmark
