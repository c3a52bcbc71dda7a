#include "coordinator/serve/artifact_streams.h"

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "common/text.h"
#include "rpc/limits.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

// Alive until gRPC is done with it, or while the desk looks at it.
class PutStream final : public grpc::ServerReadReactor<v1::PutArtifactRequest>,
                        public Idler,
                        public std::enable_shared_from_this<PutStream> {
 public:
  PutStream(const ArtifactContext& context, v1::PutArtifactReply* reply)
      : context_(context), reply_(reply) {
    *reply_->mutable_identity() = context_.identity;
  }
  void Begin(const absl::Status& admitted) {
    self_ = shared_from_this();
    if (!admitted.ok()) return Finish(ToGrpc(admitted));
    context_.desk->Watch(weak_from_this());
    Read();
  }

  void OnReadDone(bool ok) override {
    {
      std::lock_guard lock(mutex_);
      reads_since_.reset();
      if (given_up_) return;  // and finished
    }
    absl::Status status;
    if (!ok) {  // the client has said everything, or is gone: then the bytes are too few
      status = Work(&PutStream::Commit);
    } else if (upload_ != nullptr) {
      status = Work(&PutStream::Append);
    } else {
      status = context_.gate->CheckIdentity(request_.identity());
      if (status.ok()) status = Work(&PutStream::Open);
    }
    if (!status.ok()) Finish(ToGrpc(status));
  }
  void OnDone() override { self_.reset(); }

  // Nothing of this stream is on the desk while it reads: the upload may go.
  void EndIfIdle(Nanos since) override {
    {
      std::lock_guard lock(mutex_);
      if (given_up_ || !reads_since_ || *reads_since_ > since) return;
      given_up_ = true;
    }
    upload_.reset();
    Finish(ToGrpc(absl::DeadlineExceededError(
        "the upload stood still for too long and was given up; send the file again")));
  }

 private:
  void Read() {
    {
      std::lock_guard lock(mutex_);
      reads_since_ = SystemClock().Monotonic();
    }
    StartRead(&request_);
  }
  // On the desk's thread; its status ends the stream unless it is OK.
  absl::Status Work(absl::Status (PutStream::*step)()) {
    return context_.desk->Post([this, step] {
      const absl::Status status = (this->*step)();
      if (!status.ok() || done_) return Finish(ToGrpc(status));
      Read();
    });
  }
  absl::Status Open() {
    const std::string& sha256 = request_.sha256();
    ASSIGN_OR_RETURN(const auto bytes, context_.desk->store().FindWhole(sha256));
    if (bytes && *bytes == request_.total_bytes()) {
      reply_->set_was_there(true);
      done_ = true;
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(upload_, context_.desk->store().Begin(sha256, request_.total_bytes()));
    return request_.piece().empty() ? absl::OkStatus() : Append();
  }
  absl::Status Append() {
    if (request_.piece().size() > kArtifactPieceBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat("a piece of ", request_.piece().size(),
                                                     " bytes; send at most ",
                                                     kArtifactPieceBytesMax, " at once"));
    }
    return upload_->Append(request_.piece());
  }
  absl::Status Commit() {
    if (upload_ == nullptr) return absl::InvalidArgumentError("an upload without a first message");
    RETURN_IF_ERROR(upload_->Commit());
    upload_.reset();  // found from here on, before anybody is told
    done_ = true;
    return absl::OkStatus();
  }

  const ArtifactContext& context_;
  v1::PutArtifactReply* const reply_;
  v1::PutArtifactRequest request_;
  std::unique_ptr<ArtifactStore::Upload> upload_;
  bool done_ = false;
  std::mutex mutex_;
  std::optional<Nanos> reads_since_;  // while the client's next word is waited for
  bool given_up_ = false;
  std::shared_ptr<PutStream> self_;  // until OnDone
};

class GetStream final : public grpc::ServerWriteReactor<v1::ArtifactPiece> {
 public:
  GetStream(const ArtifactContext& context, std::string sha256)
      : context_(context), sha256_(std::move(sha256)) {
    *piece_.mutable_identity() = context_.identity;
  }
  void Begin(const absl::Status& admitted) {
    if (!admitted.ok()) return Finish(ToGrpc(admitted));
    // Before the first byte: who is refused has written nothing yet and comes again.
    const absl::Status place = context_.desk->TakePlace();
    if (!place.ok()) return Finish(ToGrpc(place));
    has_place_ = true;
    Next();
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);  // nobody hears it: the worker is gone
    Next();
  }
  void OnDone() override {
    if (has_place_) context_.desk->FreePlace();
    delete this;
  }

 private:
  void Next() {
    const absl::Status status = context_.desk->Post([this] {
      const absl::Status read = ReadPiece();
      if (!read.ok() || piece_.piece().empty()) return Finish(ToGrpc(read));
      StartWrite(&piece_);
    });
    if (!status.ok()) Finish(ToGrpc(status));
  }
  absl::Status ReadPiece() {
    ArtifactStore& store = context_.desk->store();
    if (offset_ == 0) {
      ASSIGN_OR_RETURN(const auto bytes, store.FindWhole(sha256_));
      if (!bytes) {
        return absl::NotFoundError(
            absl::StrCat("the coordinator does not have the file with sha256 ",
                         EscapeControl(std::string_view(sha256_).substr(0, 64)),
                         ", or it was damaged; submit the job again from where the file is"));
      }
      piece_.set_total_bytes(*bytes);
    }
    ASSIGN_OR_RETURN(*piece_.mutable_piece(), store.Read(sha256_, offset_, kArtifactPieceBytesMax));
    offset_ += piece_.piece().size();
    return absl::OkStatus();
  }

  const ArtifactContext& context_;
  const std::string sha256_;
  bool has_place_ = false;
  uint64_t offset_ = 0;
  v1::ArtifactPiece piece_;
};

}  // namespace

grpc::ServerReadReactor<v1::PutArtifactRequest>* TakeArtifact(const ArtifactContext& context,
                                                              const absl::Status& admitted,
                                                              v1::PutArtifactReply* reply) {
  const auto stream = std::make_shared<PutStream>(context, reply);
  stream->Begin(admitted);
  return stream.get();
}

grpc::ServerWriteReactor<v1::ArtifactPiece>* GiveArtifact(const ArtifactContext& context,
                                                          const absl::Status& admitted,
                                                          const v1::GetArtifactRequest& request) {
  auto* stream = new GetStream(context, request.sha256());
  stream->Begin(admitted);
  return stream;
}

}  // namespace rackmark
