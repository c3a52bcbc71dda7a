#include "worker/daemon/sync_client.h"

#include <utility>

namespace rackmark {

SyncClient::SyncClient(std::shared_ptr<Coordinators> coordinators, std::shared_ptr<Inbox> inbox,
                       Handlers handlers, uint64_t seed)
    : coordinators_(std::move(coordinators)),
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
    coordinators_->Answered(way_);
    handlers_.reply(reply, received);
    if (call_ != nullptr) call_->ReadNext();
  };
  handlers.written = [this] { writing_ = false; };
  handlers.done = [this](const absl::Status& status) { OnDone(status); };
  writing_ = false;
  dropped_ = absl::OkStatus();
  way_ = coordinators_->Ask();
  stub_ = v1::WorkerService::NewStub(way_.channel);
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
  const absl::Status why = dropped_.ok() ? status : dropped_;
  // Another one that was not asked yet need not be spared.
  const bool at_once = !closed_ && coordinators_->MoveOn(way_, why);
  dial_at_ = SystemClock().Monotonic() + (at_once ? 0 : backoff_.Next());
  handlers_.ended(why);
}

void SyncClient::Drop(absl::Status why) {
  if (call_ == nullptr || !dropped_.ok()) return;
  dropped_ = std::move(why);
  call_->Cancel();
}

void SyncClient::Close() {
  closed_ = true;
  Drop(absl::CancelledError("the worker is stopping"));
}

}  // namespace rackmark
