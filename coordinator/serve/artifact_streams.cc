#include "coordinator/serve/artifact_streams.h"

#include <memory>
#include <string>
#include <utility>

#include "common/text.h"
#include "rpc/limits.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

class PutStream final : public grpc::ServerReadReactor<v1::PutArtifactRequest> {
 public:
  PutStream(const ArtifactContext& context, v1::PutArtifactReply* reply)
      : context_(context), reply_(reply) {
    *reply_->mutable_identity() = context_.identity;
  }
  void Begin(const absl::Status& admitted) {
    if (!admitted.ok()) return Finish(ToGrpc(admitted));
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
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
  void OnDone() override { delete this; }

 private:
  // On the desk's thread; its status ends the stream unless it is OK.
  absl::Status Work(absl::Status (PutStream::*step)()) {
    return context_.desk->Post([this, step] {
      const absl::Status status = (this->*step)();
      if (!status.ok() || done_) return Finish(ToGrpc(status));
      StartRead(&request_);
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
};

class GetStream final : public grpc::ServerWriteReactor<v1::ArtifactPiece> {
 public:
  GetStream(const ArtifactContext& context, std::string sha256)
      : context_(context), sha256_(std::move(sha256)) {
    *piece_.mutable_identity() = context_.identity;
  }
  void Begin(const absl::Status& admitted) {
    if (!admitted.ok()) return Finish(ToGrpc(admitted));
    Next();
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);  // nobody hears it: the worker is gone
    Next();
  }
  void OnDone() override { delete this; }

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
  uint64_t offset_ = 0;
  v1::ArtifactPiece piece_;
};

}  // namespace

grpc::ServerReadReactor<v1::PutArtifactRequest>* TakeArtifact(const ArtifactContext& context,
                                                              const absl::Status& admitted,
                                                              v1::PutArtifactReply* reply) {
  auto* stream = new PutStream(context, reply);
  stream->Begin(admitted);
  return stream;
}

grpc::ServerWriteReactor<v1::ArtifactPiece>* GiveArtifact(const ArtifactContext& context,
                                                          const absl::Status& admitted,
                                                          const v1::GetArtifactRequest& request) {
  auto* stream = new GetStream(context, request.sha256());
  stream->Begin(admitted);
  return stream;
}

}  // namespace rackmark
