// Fetches files by hash from the coordinator, one at a time, into a folder. The bytes are written
// and hashed on gRPC's thread, so that the loop never waits for them; what came of it arrives
// through the Inbox. A coordinator that is away is asked again, with backoff, as long as the file
// is wanted. Its methods are the loop thread's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/worker_api.grpc.pb.h"
#include "rpc/coordinators.h"
#include "worker/daemon/backoff.h"
#include "worker/daemon/inbox.h"

namespace rackmark {

class ArtifactFetcher {
 public:
  // What will not become better by asking again, or OK with the file's size.
  using Done = std::function<void(const std::string& sha256, const absl::StatusOr<uint64_t>&)>;
  ArtifactFetcher(std::shared_ptr<const Coordinators> coordinators, std::shared_ptr<Inbox> inbox,
                  std::string folder, Done done, uint64_t seed);

  // Starts a call if none is under way, it is time, and something is wanted.
  void Pump(const std::optional<std::string>& wanted, const v1::Identity& identity, Nanos now);
  // When Pump would do more though nothing else happens. In the past: now, if something is wanted.
  Nanos dial_at() const { return dial_at_; }
  void Close();
  bool idle() const { return call_ == nullptr; }

 private:
  class Call;
  struct Result {
    absl::Status status;
    bool final = false;
    uint64_t bytes = 0;
  };
  void OnDone(const std::string& sha256, const Result& result);

  const std::shared_ptr<const Coordinators> coordinators_;
  Coordinators::Way way_;  // of call_
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::shared_ptr<Inbox> inbox_;
  const std::string folder_;
  const Done done_;
  Backoff backoff_;
  std::shared_ptr<Call> call_;
  bool closed_ = false;
  Nanos dial_at_ = 0;
};

}  // namespace rackmark
