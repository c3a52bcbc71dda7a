// A coordinator and N workers on this machine, for `run --local` and `local`. They hold the read
// end of a lifeline pipe whose write end is ours alone: however this process ends, they end
// (PROTOCOL 3). Owned by main; one thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/program.h"
#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/client_api.pb.h"

namespace rackmark {

struct LocalOptions {
  uint32_t workers = 2;
  std::optional<uint32_t> cpu_slots;  // of each worker; missing = what the gang needs
  std::string data = "rackmark-data";
  std::string programs;  // folder of rackmark-coordinator and rackmark-worker
};

constexpr uint32_t kLocalWorkersMax = 64;
constexpr uint32_t kLocalSlotsMax = 256;  // CPU slots of one worker; ranks share the real CPUs

// CPU slots that each worker should offer so that `gang` fits, or OUT_OF_RANGE with the remedy if
// no gang like it can ever be placed on such a cluster. Pure.
absl::StatusOr<uint32_t> SlotsFor(const v1::Gang& gang, const LocalOptions& options);

// OUT_OF_RANGE if the nodes that a coordinator knows, lost ones left out, could not hold `gang`
// even if all of them were free. Pure.
absl::Status CheckFits(const v1::Gang& gang, const v1::ListNodesReply& nodes);

// OUT_OF_RANGE if `gang` is a check of nodes in quarantine, and not enough of them are there. Pure.
absl::Status CheckQuarantine(const v1::Gang& gang, const v1::ListNodesReply& nodes);

// The command lines. Pure.
std::vector<std::string> CoordinatorArguments(const LocalOptions& options,
                                              const std::string& endpoint);
std::vector<std::string> WorkerArguments(const LocalOptions& options, const std::string& endpoint,
                                         uint32_t index, uint32_t slots);

// Why a cluster did not start: what to tell, and the exit status of the program that refused.
struct StartFailure {
  absl::Status status;
  std::optional<int> exit_code;  // kExitCancelled: a signal came first
};

class LocalCluster {
 public:
  // Called with one line whenever a process is started again.
  using Teller = std::function<void(const std::string&)>;

  // `stop` outlives it; a signal that comes while it waits for its processes cuts the wait short.
  LocalCluster(LocalOptions options, uint32_t slots, StopSignal& stop, Teller tell);
  ~LocalCluster();  // Stop
  LocalCluster(const LocalCluster&) = delete;
  LocalCluster& operator=(const LocalCluster&) = delete;

  // Returns when the coordinator listens; workers join by themselves.
  std::optional<StartFailure> Start();
  // Starts again what has died, at most kRestartsMax times each; INTERNAL after that. Call often.
  absl::Status Supervise();
  // Asks all to end, waits a bounded time, kills the rest. Removes the socket's folder. Once
  // somebody is in a hurry, or a further signal comes, the rest is killed at once.
  void Stop();
  void Hurry() { hurry_ = true; }

  const std::string& endpoint() const { return endpoint_; }
  const LocalOptions& options() const { return options_; }

 private:
  static constexpr int kRestartsMax = 3;
  struct Process {
    std::string name;
    std::string program;
    std::vector<std::string> arguments;
    std::string log_file;
    pid_t pid = 0;
    int restarts = 0;
  };

  absl::Status Prepare();
  int Reap(Process& process, Nanos patience);
  absl::Status Spawn(Process& process, std::optional<int> ready_fd);
  std::optional<StartFailure> StartCoordinator();

  const LocalOptions options_;
  const uint32_t slots_;
  StopSignal& stop_;
  const Teller tell_;
  bool hurry_ = false;
  std::string folder_;  // of the socket
  std::string endpoint_;
  int lifeline_read_ = -1;
  int lifeline_write_ = -1;
  std::vector<Process> processes_;  // the coordinator first
};

}  // namespace rackmark
