// The Sync stream: dials, sends Reports one at a time, hands replies to the daemon, dials again,
// and of several coordinators the next one: what becomes of this stream says for the whole daemon
// which of them leads. Loop thread; gRPC's threads meet it only in the Inbox.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/worker_api.grpc.pb.h"
#include "rpc/coordinators.h"
#include "worker/daemon/backoff.h"
#include "worker/daemon/bidi_call.h"

namespace rackmark {

class SyncClient {
 public:
  struct Handlers {
    std::function<void()> opened;  // a new stream: the next Report is its first
    std::function<void(const v1::SyncReply&, Nanos received)> reply;
    std::function<void(const absl::Status&)> ended;
  };
  SyncClient(std::shared_ptr<Coordinators> coordinators, std::shared_ptr<Inbox> inbox,
             Handlers handlers, uint64_t seed);

  // Dials if it is time. True if a Report can be sent now.
  bool Ready(Nanos now);
  void Send(v1::Report report);
  std::optional<Nanos> NextDial() const;
  // Ends this stream, because of `why` if it is not over already; another one follows.
  void Drop(absl::Status why);
  void Close();  // ends it for good
  // Of the coordinator that is asked, or was last.
  const std::string& address() const { return way_.address; }
  bool idle() const { return call_ == nullptr; }
  bool writable() const { return call_ != nullptr && !writing_; }

 private:
  using Call = BidiCall<v1::Report, v1::SyncReply>;
  void OnDone(const absl::Status& status);

  const std::shared_ptr<Coordinators> coordinators_;
  Coordinators::Way way_;  // of call_
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::shared_ptr<Inbox> inbox_;
  const Handlers handlers_;
  Backoff backoff_;
  std::shared_ptr<Call> call_;
  absl::Status dropped_;  // why we ended it
  bool writing_ = false;
  bool closed_ = false;
  Nanos dial_at_ = 0;
};

}  // namespace rackmark
