#include "worker/daemon/sync_client.h"

#include <utility>

namespace rackmark {

SyncClient::SyncClient(std::shared_ptr<grpc::Channel> channel, std::shared_ptr<Inbox> inbox,
                       Handlers handlers, uint64_t seed)
    : stub_(v1::WorkerService::NewStub(channel)),
      inbox_(std::move(inbox)),
      handlers_(std::move(handlers)),
      backoff_(seed) {}

bool SyncClient::Ready(Nanos now) {
  if (closed_) return false;
  if (call_ != nullptr) return !writing_;
  if (now < dial_at_) return false;
  Call::Handlers handlers;
  handlers.message = [this](const v1::SyncReply& reply, Nanos received) {
    backoff_.Reset();
    handlers_.reply(reply, received);
    if (call_ != nullptr) call_->ReadNext();
  };
  handlers.written = [this] { writing_ = false; };
  handlers.done = [this](const absl::Status& status) { OnDone(status); };
  writing_ = false;
  call_ = Call::Start(inbox_, std::move(handlers), [this](auto* context, auto* reactor) {
    stub_->async()->Sync(context, reactor);
  });
  handlers_.opened();
  return true;
}

void SyncClient::Send(v1::Report report) {
  // False: the stream is over and its end is on its way; the next stream tells everything again.
  writing_ = call_ != nullptr && call_->Write(std::move(report));
}

std::optional<Nanos> SyncClient::NextDial() const {
  if (closed_ || call_ != nullptr) return std::nullopt;
  return dial_at_;
}

void SyncClient::OnDone(const absl::Status& status) {
  call_.reset();
  writing_ = false;
  dial_at_ = SystemClock().Monotonic() + backoff_.Next();
  handlers_.ended(status);
}

void SyncClient::Drop() {
  if (call_ != nullptr) call_->Cancel();
}

void SyncClient::Close() {
  closed_ = true;
  Drop();
}

}  // namespace rackmark
