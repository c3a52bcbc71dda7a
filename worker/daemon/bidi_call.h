// One bidirectional gRPC stream as the daemon's loop sees it: one write and one read at a time, and
// every event arrives through the Inbox. Keeps itself alive until gRPC is done with it. Its methods
// are the loop thread's; its On... are gRPC's.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "common/status.h"
#include "common/time.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"
#include "rpc/status_bridge.h"
#include "worker/daemon/inbox.h"

namespace rackmark {

template <typename Out, typename In>
class BidiCall : public grpc::ClientBidiReactor<Out, In> {
 public:
  // All are run by Inbox::Take's caller. `done` is the last one.
  struct Handlers {
    std::function<void(const In&, Nanos received)> message;  // CLOCK_MONOTONIC at its arrival
    std::function<void()> written;
    std::function<void(absl::Status)> done;
  };

  // `connect(context, reactor)` binds the call to its stub.
  template <typename Connect>
  static std::shared_ptr<BidiCall> Start(std::shared_ptr<Inbox> inbox, Handlers handlers,
                                         Connect connect) {
    std::shared_ptr<BidiCall> call(new BidiCall(std::move(inbox), std::move(handlers)));
    call->self_ = call;
    connect(&call->context_, call.get());
    call->AddHold();
    call->StartRead(&call->in_);
    call->StartCall();
    return call;
  }

  // Only after `written` of the one before; false if the stream is over.
  bool Write(Out message) {
    std::lock_guard lock(mutex_);
    if (!open_) return false;
    out_ = std::move(message);
    this->StartWrite(&out_);
    return true;
  }
  // After each `message`: the next one is not read before.
  void ReadNext() {
    std::lock_guard lock(mutex_);
    if (open_) this->StartRead(&in_);
  }
  void Cancel() {
    context_.TryCancel();
    Release();
  }

 private:
  BidiCall(std::shared_ptr<Inbox> inbox, Handlers handlers)
      : inbox_(std::move(inbox)), handlers_(std::move(handlers)) {}

  void Release() {
    std::lock_guard lock(mutex_);
    if (!open_) return;
    open_ = false;
    this->RemoveHold();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return Release();
    inbox_->Post([self = self_, received = SystemClock().Monotonic()] {
      self->handlers_.message(self->in_, received);
    });
  }
  void OnWriteDone(bool) override {
    inbox_->Post([self = self_] { self->handlers_.written(); });
  }
  void OnDone(const grpc::Status& status) override {
    // Once posted, the loop may end this call, and the daemon with it, before Post has returned.
    const std::shared_ptr<Inbox> inbox = inbox_;
    inbox->Post([self = std::move(self_), result = FromGrpc(status)] {
      self->handlers_.done(result);
      self->handlers_ = {};
    });
  }

  grpc::ClientContext context_;
  std::shared_ptr<Inbox> inbox_;
  Handlers handlers_;
  std::shared_ptr<BidiCall> self_;  // until OnDone
  // Recursive: gRPC may run On... inside of a Start... call of ours, on the same thread.
  std::recursive_mutex mutex_;
  bool open_ = true;  // whether we hold the call
  Out out_;
  In in_;
};

}  // namespace rackmark
