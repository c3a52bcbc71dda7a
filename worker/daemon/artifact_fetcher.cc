#include "worker/daemon/artifact_fetcher.h"

#include <utility>

#include "common/hashed_file.h"
#include "common/log.h"
#include "common/text.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"
#include "rpc/identity.h"
#include "rpc/limits.h"
#include "rpc/not_leader.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

// Answers that stay the same however often one asks.
bool IsFinal(const absl::Status& status) {
  if (NotLeaderOf(status)) return false;  // another one will know
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition: return true;
    default: return false;
  }
}

}  // namespace

// Keeps itself alive until gRPC is done with it.
class ArtifactFetcher::Call : public grpc::ClientReadReactor<v1::ArtifactPiece> {
 public:
  using Ended = std::function<void(const Result&)>;
  static std::shared_ptr<Call> Start(ArtifactFetcher* fetcher, v1::GetArtifactRequest request,
                                     Ended ended) {
    std::shared_ptr<Call> call(new Call(fetcher, std::move(request), std::move(ended)));
    call->self_ = call;
    fetcher->stub_->async()->GetArtifact(&call->context_, &call->request_, call.get());
    call->StartRead(&call->piece_);
    call->StartCall();
    return call;
  }
  void Cancel() { context_.TryCancel(); }

 private:
  Call(ArtifactFetcher* fetcher, v1::GetArtifactRequest request, Ended ended)
      : inbox_(fetcher->inbox_),
        folder_(fetcher->folder_),
        request_(std::move(request)),
        ended_(std::move(ended)) {}

  void OnReadDone(bool ok) override {
    if (!ok) return;  // OnDone comes
    trouble_ = Take();
    if (trouble_.ok()) return StartRead(&piece_);
    context_.TryCancel();
  }
  absl::Status Take() {
    if (file_ == nullptr) {
      RETURN_IF_ERROR(CheckProtocol(piece_.identity()));
      RETURN_IF_ERROR(CheckCluster(piece_.identity(), request_.identity().cluster_id()));
      bytes_ = piece_.total_bytes();
      if (bytes_ > kArtifactBytesMax) {
        return absl::InvalidArgumentError(absl::StrCat("the coordinator offers ", bytes_,
                                                       " bytes; at most ", kArtifactBytesMax,
                                                       " are taken"));
      }
      ASSIGN_OR_RETURN(file_,
                       HashedFile::Begin({folder_, request_.sha256(), bytes_, /*durable=*/false}));
    }
    return file_->Append(piece_.piece());
  }
  void OnDone(const grpc::Status& status) override {
    Result result;
    result.bytes = bytes_;
    if (!trouble_.ok()) {
      result.status = trouble_;
      result.final = true;
    } else if (!status.ok()) {
      result.status = FromGrpc(status);
      result.final = IsFinal(result.status);
    } else {
      result.status = file_ != nullptr ? file_->Commit() : absl::DataLossError("nothing came");
      result.final = true;
    }
    file_.reset();
    const std::shared_ptr<Inbox> inbox = inbox_;
    inbox->Post([self = std::move(self_), result] {
      self->ended_(result);
      self->ended_ = {};
    });
  }

  grpc::ClientContext context_;
  const std::shared_ptr<Inbox> inbox_;
  const std::string folder_;
  const v1::GetArtifactRequest request_;
  Ended ended_;
  std::shared_ptr<Call> self_;  // until OnDone
  v1::ArtifactPiece piece_;
  std::unique_ptr<HashedFile> file_;
  uint64_t bytes_ = 0;
  absl::Status trouble_;  // of our own side
};

ArtifactFetcher::ArtifactFetcher(std::shared_ptr<const Coordinators> coordinators,
                                 std::shared_ptr<Inbox> inbox, std::string folder, Done done,
                                 uint64_t seed)
    : coordinators_(std::move(coordinators)),
      inbox_(std::move(inbox)),
      folder_(std::move(folder)),
      done_(std::move(done)),
      backoff_(seed) {}

void ArtifactFetcher::Pump(const std::optional<std::string>& wanted, const v1::Identity& identity,
                           Nanos now) {
  const bool moved = way_.number != coordinators_->Ask().number;
  if (moved && call_ != nullptr) return call_->Cancel();
  if (!wanted || closed_ || call_ != nullptr || (!moved && now < dial_at_)) return;
  way_ = coordinators_->Ask();
  stub_ = v1::WorkerService::NewStub(way_.bulk);
  v1::GetArtifactRequest request;
  *request.mutable_identity() = identity;
  request.set_sha256(*wanted);
  call_ = Call::Start(this, std::move(request),
                      [this, sha256 = *wanted](const Result& result) { OnDone(sha256, result); });
}

void ArtifactFetcher::OnDone(const std::string& sha256, const Result& result) {
  call_.reset();
  if (!result.status.ok() && !result.final) {
    Log(LogLevel::kInfo, absl::StrCat("a run's file: asked again, because ",
                                      EscapeControl(FromAbsl(result.status.message()))));
    dial_at_ = SystemClock().Monotonic() + backoff_.Next();
    return;
  }
  backoff_.Reset();
  if (closed_) return;
  if (result.status.ok()) return done_(sha256, result.bytes);
  done_(sha256, result.status);
}

void ArtifactFetcher::Close() {
  closed_ = true;
  if (call_ != nullptr) call_->Cancel();
}

}  // namespace rackmark
