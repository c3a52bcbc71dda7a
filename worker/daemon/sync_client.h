// The Sync stream: dials, sends Reports one at a time, hands replies to the daemon, dials again.
// Decides nothing. Loop thread; gRPC's threads meet it only in the Inbox.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "common/status.h"
#include "common/time.h"
#include "grpcpp/channel.h"
#include "rackmark/v1/worker_api.grpc.pb.h"
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
  SyncClient(std::shared_ptr<grpc::Channel> channel, std::shared_ptr<Inbox> inbox,
             Handlers handlers, uint64_t seed);

  // Dials if it is time. True if a Report can be sent now.
  bool Ready(Nanos now);
  void Send(v1::Report report);
  std::optional<Nanos> NextDial() const;
  void Drop();   // ends this stream; another one follows
  void Close();  // ends it for good
  bool idle() const { return call_ == nullptr; }
  bool writable() const { return call_ != nullptr && !writing_; }

 private:
  using Call = BidiCall<v1::Report, v1::SyncReply>;
  void OnDone(const absl::Status& status);

  std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::shared_ptr<Inbox> inbox_;
  const Handlers handlers_;
  Backoff backoff_;
  std::shared_ptr<Call> call_;
  bool writing_ = false;
  bool closed_ = false;
  Nanos dial_at_ = 0;
};

}  // namespace rackmark
