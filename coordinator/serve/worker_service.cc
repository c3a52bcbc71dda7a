#include "coordinator/serve/worker_service.h"

#include <mutex>
#include <utility>

#include "coordinator/core/desired.h"
#include "coordinator/serve/latest_writer.h"
#include "coordinator/serve/sample_stream.h"
#include "rpc/status_bridge.h"

namespace rackmark {

// One Sync stream: read a Report, let the loop answer it, read the next. Whoever is in that chain
// ends the stream; pushes only ever send.
class SyncStream final
    : public LatestWriter<grpc::ServerBidiReactor<v1::Report, v1::SyncReply>, v1::SyncReply> {
 public:
  SyncStream(WorkerService* service, grpc::CallbackServerContext* context, uint64_t number)
      : LatestWriter(context), service_(service), number_(number) {
    auto principal = service_->options_.gate->Admit("Sync", *context);
    refused_ = principal.status();
    if (principal.ok()) principal_ = *std::move(principal);
    certificate_names_ = PeerPolicy::CertificateNames(*context);
  }

  void Begin() {
    KeepAlive();
    if (refused_.ok()) {
      StartRead(&report_.Fresh());
    } else {
      End(ToGrpc(refused_));
    }
  }
  uint64_t number() const { return number_; }
  // On the loop's thread, as Answer is: an answer of the same turn may have said it already.
  void PushDesired(v1::SyncReply reply) {
    if (reply.desired().version() == version_sent_) return;
    version_sent_ = reply.desired().version();
    Send(std::move(reply));
  }

  void OnReadDone(bool ok) override {
    if (!ok) return End(grpc::Status::OK);
    const Nanos received = service_->options_.clock->Monotonic();
    if (const absl::Status status = Check(); !status.ok()) return End(ToGrpc(status));
    auto self = std::static_pointer_cast<SyncStream>(shared_from_this());
    Asked asked = {report_->report_number(), report_->worker_send_ns(), received};
    // A Report has hundreds of small parts, and thousands come each second: it is moved, not
    // copied.
    Command command = {principal_, NodeReported{std::move(report_), number_}};
    const absl::Status posted = service_->options_.loop->Post(
        std::move(command),
        [self, asked](const Outcome& outcome) { self->Answer(outcome, asked); });
    if (!posted.ok()) End(ToGrpc(posted));
  }

 private:
  // What the answer to a Report repeats of it.
  struct Asked {
    uint64_t report_number;
    int64_t worker_send_ns;
    Nanos received;
  };

  absl::Status Check() const {
    RETURN_IF_ERROR(service_->options_.gate->CheckIdentity(report_->identity()));
    return CheckNodeName(certificate_names_, report_->node().name());
  }

  // On the loop's thread, after the commit.
  void Answer(const Outcome& outcome, const Asked& asked) {
    if (!outcome.status.ok()) return End(ToGrpc(outcome.status));
    const NodeId node = std::get<Heard>(outcome.reply).node;
    bool attached = false;
    {
      std::lock_guard lock(node_mutex_);
      attached = std::exchange(node_, node) == node;
    }
    auto self = std::static_pointer_cast<SyncStream>(shared_from_this());
    if (!attached && !service_->Attach(node, self)) {
      return End(ToGrpc(absl::AbortedError("a newer Sync stream of this worker has taken over")));
    }
    v1::SyncReply reply = service_->ReplyFor(node, *outcome.state);
    version_sent_ = DesiredOf(*outcome.state, node).version();
    reply.set_answers_report(asked.report_number);
    reply.set_worker_send_ns(asked.worker_send_ns);
    reply.set_coordinator_receive_ns(asked.received);
    Send(std::move(reply));
    StartRead(&report_.Fresh());
  }

  // A push that overtakes an answer still answers.
  void Merge(const v1::SyncReply& older, v1::SyncReply& newer) override {
    if (newer.answers_report() != 0) return;
    newer.set_answers_report(older.answers_report());
    newer.set_worker_send_ns(older.worker_send_ns());
    newer.set_coordinator_receive_ns(older.coordinator_receive_ns());
  }
  void Stamp(v1::SyncReply& reply) override {
    reply.set_coordinator_send_ns(service_->options_.clock->Monotonic());
  }
  void Detach() override {
    NodeId node;
    {
      std::lock_guard lock(node_mutex_);
      node = node_;
    }
    if (!node.IsNone()) service_->Forget(node, number_);
  }

  WorkerService* const service_;
  const uint64_t number_;
  absl::Status refused_;
  v1::Principal principal_;
  std::vector<std::string> certificate_names_;  // none without mTLS; a token does not replace them
  ReportBox report_;
  uint64_t version_sent_ = 0;
  std::mutex node_mutex_;
  NodeId node_;
};

grpc::ServerBidiReactor<v1::Report, v1::SyncReply>* WorkerService::Sync(
    grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<SyncStream>(this, context, ++streams_);
  stream->Begin();
  return stream.get();
}

grpc::ServerBidiReactor<v1::SampleBatch, v1::SampleAck>* WorkerService::PushSamples(
    grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<SampleStream>(
      options_, options_.gate->Admit("PushSamples", *context).status(),
      PeerPolicy::CertificateNames(*context));
  stream->Begin();
  return stream.get();
}

grpc::ServerWriteReactor<v1::ArtifactPiece>* WorkerService::GetArtifact(
    grpc::CallbackServerContext* context, const v1::GetArtifactRequest* request) {
  absl::Status admitted = options_.gate->Admit("GetArtifact", *context).status();
  if (admitted.ok()) admitted = options_.gate->CheckIdentity(request->identity());
  return GiveArtifact(artifacts_, admitted, *request);
}

bool WorkerService::Attach(NodeId node, const std::shared_ptr<SyncStream>& stream) {
  std::shared_ptr<SyncStream> former;
  {
    std::lock_guard lock(mutex_);
    std::shared_ptr<SyncStream>& attached = attached_[node];
    if (attached == stream) return true;
    if (attached != nullptr && attached->number() > stream->number()) return false;
    former = std::exchange(attached, stream);
  }
  if (former != nullptr) former->Cancel();
  return true;
}

void WorkerService::Forget(NodeId node, uint64_t number) {
  {
    std::lock_guard lock(mutex_);
    const auto it = attached_.find(node);
    if (it != attached_.end() && it->second->number() == number) attached_.erase(it);
  }
  // With a full inbox, or in the last moments, silence will say the same a little later.
  (void)options_.loop->Post({CorePrincipal(), StreamBroken{node, number}}, [](const Outcome&) {});
}

v1::SyncReply WorkerService::ReplyFor(NodeId node, const State& state) const {
  v1::SyncReply reply;
  *reply.mutable_identity() = options_.identity;
  if (!KnowsDesired(state, node)) *reply.mutable_desired() = DesiredOf(state, node);
  reply.set_coordinator_boot_id(options_.boot_id);
  *reply.mutable_timing() = options_.timing;
  reply.set_node_id(node.value);
  return reply;
}

void WorkerService::DesiredChanged(NodeId node, const State& state) {
  std::shared_ptr<SyncStream> stream;
  {
    std::lock_guard lock(mutex_);
    const auto it = attached_.find(node);
    if (it != attached_.end()) stream = it->second;
  }
  if (stream != nullptr) stream->PushDesired(ReplyFor(node, state));
}

}  // namespace rackmark
