#include "worker/daemon/uplink.h"

#include <utility>

#include "common/log.h"
#include "common/text.h"
#include "rpc/identity.h"

namespace rackmark {

Uplink::Uplink(std::shared_ptr<const Coordinators> coordinators, std::shared_ptr<Inbox> inbox,
               Spool* spool, uint64_t seed)
    : coordinators_(std::move(coordinators)),
      inbox_(std::move(inbox)),
      window_(spool),
      backoff_(seed) {}

void Uplink::Dial() {
  Call::Handlers handlers;
  handlers.message = [this](const v1::SampleAck& ack, Nanos) {
    OnAck(ack);
    if (call_ != nullptr) call_->ReadNext();
  };
  handlers.written = [this] { writing_ = false; };
  handlers.done = [this](const absl::Status& status) { OnDone(status); };
  writing_ = false;
  way_ = coordinators_->Ask();
  stub_ = v1::WorkerService::NewStub(way_.bulk);
  call_ = Call::Start(inbox_, std::move(handlers), [this](auto* context, auto* reactor) {
    stub_->async()->PushSamples(context, reactor);
  });
}

void Uplink::Pump(const v1::Identity& identity, Nanos now) {
  if (closed_ || identity.cluster_id().empty()) return;
  const bool moved = way_.number != coordinators_->Ask().number;
  // Another one is asked now. The one of this stream may be stopped: no write would ever end.
  if (moved && call_ != nullptr) return call_->Cancel();
  if (writing_ || (call_ == nullptr && !moved && now < dial_at_)) return;
  if (cluster_id_ != identity.cluster_id()) {
    // What the old stream acks from here on is about another cluster's runs.
    cluster_id_ = identity.cluster_id();
    if (call_ != nullptr) return call_->Cancel();
  }
  if (call_ == nullptr) window_.Reset();
  auto batch = window_.NextBatch(cluster_id_);
  if (!batch) return;
  if (call_ == nullptr) Dial();
  *batch->mutable_identity() = identity;
  writing_ = call_->Write(*std::move(batch));
}

void Uplink::OnAck(const v1::SampleAck& ack) {
  if (!CheckProtocol(ack.identity()).ok()) return;
  if (!CheckCluster(ack.identity(), cluster_id_).ok()) return;
  backoff_.Reset();
  for (const v1::Watermark& mark : ack.watermarks()) window_.OnAck(mark);
}

std::optional<Nanos> Uplink::NextDial() const {
  if (closed_ || call_ != nullptr) return std::nullopt;
  return dial_at_;
}

void Uplink::OnDone(const absl::Status& status) {
  call_.reset();
  writing_ = false;
  window_.Reset();
  dial_at_ = SystemClock().Monotonic() + backoff_.Next();
  if (!closed_) {
    Log(LogLevel::kInfo,
        absl::StrCat("samples: the stream ended: ", EscapeControl(FromAbsl(status.message()))));
  }
}

void Uplink::Close() {
  closed_ = true;
  if (call_ != nullptr) call_->Cancel();
}

}  // namespace rackmark
