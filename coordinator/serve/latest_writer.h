// The writing half of a stream on which only the newest message counts: while one is on the wire,
// at most one other waits, and a newer one takes its place. So a slow reader costs one message, not
// a queue (law 5). Also sees to it that Finish is called once, and never while a write is out.
// Thread-safe; alive until gRPC is done with it, or longer if somebody holds the pointer.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"

namespace rackmark {

template <typename Reactor, typename Message>
class LatestWriter : public Reactor,
                     public std::enable_shared_from_this<LatestWriter<Reactor, Message>> {
 public:
  explicit LatestWriter(grpc::CallbackServerContext* context) : context_(context) {}

  void Send(Message message) { Put(std::move(message), std::nullopt); }
  // Nothing can be sent after it; the stream ends OK once it is written.
  void SendLast(Message message) { Put(std::move(message), grpc::Status::OK); }
  // Ends the stream; what still waits is not sent.
  void End(grpc::Status status) {
    {
      std::lock_guard lock(mutex_);
      if (end_) return;
      end_ = std::move(status);
      waiting_.reset();
      if (writing_) return;  // OnWriteDone finishes
      finished_ = true;
    }
    Close();
  }
  // Breaks the connection under the stream; its reads and writes then fail.
  void Cancel() {
    std::lock_guard lock(mutex_);
    if (!finished_) context_->TryCancel();
  }

  void OnWriteDone(bool ok) final {
    {
      std::lock_guard lock(mutex_);
      writing_ = false;
      if (ok && waiting_) {
        StartNext();
        return;
      }
      if (!ok) waiting_.reset();
      if (!end_ || finished_) return;
      finished_ = true;
    }
    Close();
  }
  void OnDone() final { self_.reset(); }

 protected:
  // Gives gRPC its share in this object; once, before the service returns it.
  void KeepAlive() { self_ = this->shared_from_this(); }
  // `older` was never sent and gives way to `newer`: what must not be lost is carried over.
  virtual void Merge(const Message& older, Message& newer) = 0;
  // The last moment before it goes out.
  virtual void Stamp(Message& message) = 0;
  // No more sends; called once, without locks, before Finish.
  virtual void Detach() = 0;

 private:
  void Put(Message message, std::optional<grpc::Status> end) {
    std::lock_guard lock(mutex_);
    if (end_) return;
    if (waiting_) Merge(*waiting_, message);
    waiting_ = std::move(message);
    end_ = std::move(end);
    if (!writing_) StartNext();
  }
  void StartNext() {
    on_wire_ = *std::move(waiting_);
    waiting_.reset();
    Stamp(on_wire_);
    writing_ = true;
    this->StartWrite(&on_wire_);
  }
  void Close() {
    Detach();
    this->Finish(*end_);
  }

  grpc::CallbackServerContext* const context_;
  std::shared_ptr<LatestWriter> self_;
  std::mutex mutex_;
  bool writing_ = false;
  bool finished_ = false;
  std::optional<Message> waiting_;
  Message on_wire_;
  std::optional<grpc::Status> end_;
};

}  // namespace rackmark
