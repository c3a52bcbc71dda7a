// The worker daemon: one loop thread that owns all state, hears the coordinator, makes this node do
// what is desired, and reports everything that it is doing. Time comes from a Clock, processes from
// a ProcessRunner. Create and Run on one thread; Stop from any.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/cluster.pb.h"
#include "rackmark/v1/rank_frame.pb.h"
#include "rpc/coordinators.h"
#include "worker/daemon/process.h"
#include "worker/daemon/session.h"
#include "worker/device/machine_files.h"

namespace rackmark {

struct DaemonOptions {
  v1::NodeInfo node;
  Session::Options session;
  std::string data_folder;  // locked by the caller
  uint64_t spool_bytes = 1 << 30;
  uint64_t artifact_bytes = 512 << 20;  // of files that runs refer to, kept after use
  MachineFiles files;
  // Between CPU ranks; and the interface of what leaves shared memory, empty = see RankInit.
  v1::TransportPolicy transport = v1::TRANSPORT_POLICY_AUTO;
  std::string interface = {};
};

class Daemon {
 public:
  static absl::StatusOr<std::unique_ptr<Daemon>> Create(DaemonOptions options,
                                                        std::shared_ptr<Coordinators> coordinators,
                                                        std::unique_ptr<ProcessRunner> processes);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Until Stop (OK), or until it can't go on: FAILED_PRECONDITION that begins with
  // kProtocolMismatch. Kills all ranks and syncs the spool before it returns.
  absl::Status Run();
  void Stop();

 private:
  class Loop;
  explicit Daemon(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace rackmark
