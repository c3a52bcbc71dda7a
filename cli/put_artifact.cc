// PutArtifact: the one call of the client that streams upwards. A file is found by its hash, so a
// broken upload is simply made again from its beginning.
#include <algorithm>
#include <chrono>

#include "cli/coordinator_client.h"
#include "rpc/limits.h"
#include "rpc/status_bridge.h"

namespace rackmark {

absl::StatusOr<v1::PutArtifactReply> CoordinatorClient::PutOnce(const Coordinators::Way& way,
                                                                const std::string& sha256,
                                                                std::string_view bytes) {
  constexpr std::chrono::seconds kDeadline(120);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  v1::PutArtifactReply reply;
  v1::ClientService::Stub stub(way.channel);
  const auto writer = stub.PutArtifact(&context, &reply);
  v1::PutArtifactRequest request;
  *request.mutable_identity() = identity();
  request.set_sha256(sha256);
  request.set_total_bytes(bytes.size());
  bool stopped = false;
  for (size_t at = 0; at < bytes.size() && !stopped; at += kArtifactPieceBytesMax) {
    request.set_piece(std::string(bytes.substr(at, kArtifactPieceBytesMax)));
    if (!writer->Write(request)) break;  // Finish says why
    request.Clear();
    stopped = !pause_(0);
  }
  if (stopped) context.TryCancel();
  writer->WritesDone();
  const absl::Status status = FromGrpc(writer->Finish());
  if (stopped) return absl::CancelledError("stopped before the trace was uploaded");
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(Meet(reply.identity()));
  return reply;
}

absl::StatusOr<v1::PutArtifactReply> CoordinatorClient::PutArtifact(const std::string& sha256,
                                                                    std::string_view bytes,
                                                                    Nanos patience) {
  const Nanos deadline = SystemClock().Monotonic() + patience;
  Nanos pause = 50 * kMillisecond;
  while (true) {
    const Coordinators::Way way = coordinators_->Ask();
    absl::StatusOr<v1::PutArtifactReply> reply = PutOnce(way, sha256, bytes);
    if (reply.ok()) coordinators_->Answered(way);
    if (reply.ok() || !IsConnectionLoss(reply.status()) || absl::IsCancelled(reply.status()) ||
        SystemClock().Monotonic() + pause >= deadline) {
      return reply;
    }
    const bool at_once = coordinators_->MoveOn(way, reply.status());
    if (!pause_(at_once ? 0 : pause)) return reply;
    if (!at_once) pause = std::min<Nanos>(2 * pause, kSecond);
  }
}

}  // namespace rackmark
