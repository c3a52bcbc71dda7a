// The PushSamples stream: sends what the window allows, frees what is acked, dials again: whom the
// Sync stream asks. Loop thread; gRPC's threads meet it only in the Inbox.
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
#include "worker/daemon/push_window.h"

namespace rackmark {

class Uplink {
 public:
  Uplink(std::shared_ptr<const Coordinators> coordinators, std::shared_ptr<Inbox> inbox,
         Spool* spool, uint64_t seed);

  // Sends the next batch if there is one for the cluster of `identity`, dialling first if needed.
  void Pump(const v1::Identity& identity, Nanos now);
  // When Pump would do more though nothing else happens.
  std::optional<Nanos> NextDial() const;
  void Close();
  bool idle() const { return call_ == nullptr; }

 private:
  using Call = BidiCall<v1::SampleBatch, v1::SampleAck>;
  void Dial();
  void OnAck(const v1::SampleAck& ack);
  void OnDone(const absl::Status& status);

  const std::shared_ptr<const Coordinators> coordinators_;
  Coordinators::Way way_;  // of call_
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::shared_ptr<Inbox> inbox_;
  PushWindow window_;
  Backoff backoff_;
  std::shared_ptr<Call> call_;
  std::string cluster_id_;
  bool writing_ = false;
  bool closed_ = false;
  Nanos dial_at_ = 0;
};

}  // namespace rackmark
