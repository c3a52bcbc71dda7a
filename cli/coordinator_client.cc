#include "cli/coordinator_client.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "rpc/identity.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

// gRPC's words for it name sockets, not what to do.
absl::Status GaveUp(const absl::Status& status) {
  if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return status;
  return absl::Status(
      status.code(), absl::StrCat("no coordinator answers there; check --coordinator, or start one "
                                  "with `rackmark local 2` (",
                                  status.message(), ")"));
}

}  // namespace

bool IsConnectionLoss(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsUnknown(status) || absl::IsAborted(status) || absl::IsCancelled(status);
}

CoordinatorClient::CoordinatorClient(const std::shared_ptr<grpc::Channel>& channel,
                                     std::string incarnation, Pause pause)
    : stub_(v1::ClientService::NewStub(channel)),
      incarnation_(std::move(incarnation)),
      pause_(std::move(pause)) {}

v1::Identity CoordinatorClient::identity() const {
  std::lock_guard lock(mutex_);
  return MakeIdentity(cluster_id_, epoch_, incarnation_);
}

absl::Status CoordinatorClient::Meet(const v1::Identity& theirs) {
  RETURN_IF_ERROR(CheckProtocol(theirs));
  std::lock_guard lock(mutex_);
  if (!cluster_id_.empty()) RETURN_IF_ERROR(CheckCluster(theirs, cluster_id_));
  cluster_id_ = theirs.cluster_id();
  epoch_ = std::max(epoch_, theirs.epoch());
  return absl::OkStatus();
}

template <typename Request, typename Reply>
absl::StatusOr<Reply> CoordinatorClient::Call(
    grpc::Status (v1::ClientService::Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
    Request request, Nanos patience) {
  const Nanos deadline = SystemClock().Monotonic() + patience;
  Nanos pause = 50 * kMillisecond;
  while (true) {
    *request.mutable_identity() = identity();
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::nanoseconds(std::max(patience, kSecond)));
    Reply reply;
    const absl::Status status = FromGrpc((stub_.get()->*method)(&context, request, &reply));
    if (status.ok()) {
      RETURN_IF_ERROR(Meet(reply.identity()));
      return reply;
    }
    if (!IsConnectionLoss(status) || SystemClock().Monotonic() + pause >= deadline) {
      return GaveUp(status);
    }
    if (!pause_(pause)) return status;
    pause = std::min<Nanos>(2 * pause, kSecond);
  }
}

absl::StatusOr<v1::GetVersionReply> CoordinatorClient::GetVersion(Nanos patience) {
  return Call(&v1::ClientService::Stub::GetVersion, v1::GetVersionRequest(), patience);
}

absl::StatusOr<v1::SubmitReply> CoordinatorClient::Submit(const v1::Job& job,
                                                          const std::string& submission_id,
                                                          Nanos patience) {
  v1::SubmitRequest request;
  *request.mutable_job() = job;
  request.set_submission_id(submission_id);
  return Call(&v1::ClientService::Stub::Submit, std::move(request), patience);
}

absl::StatusOr<v1::CancelReply> CoordinatorClient::Cancel(uint64_t job_id,
                                                          const std::string& reason,
                                                          Nanos patience) {
  v1::CancelRequest request;
  request.set_job_id(job_id);
  request.set_reason(reason);
  return Call(&v1::ClientService::Stub::Cancel, std::move(request), patience);
}

absl::StatusOr<v1::ListNodesReply> CoordinatorClient::ListNodes(Nanos patience) {
  return Call(&v1::ClientService::Stub::ListNodes, v1::ListNodesRequest(), patience);
}

absl::StatusOr<v1::ListJobsReply> CoordinatorClient::ListJobs(Nanos patience) {
  return Call(&v1::ClientService::Stub::ListJobs, v1::ListJobsRequest(), patience);
}

absl::StatusOr<v1::ListRunsReply> CoordinatorClient::ListRuns(uint64_t job_id, Nanos patience) {
  v1::ListRunsRequest request;
  request.set_job_id(job_id);
  return Call(&v1::ClientService::Stub::ListRuns, std::move(request), patience);
}

absl::StatusOr<v1::GetReportReply> CoordinatorClient::GetReport(uint64_t job_id, Nanos patience) {
  v1::GetReportRequest request;
  request.set_job_id(job_id);
  return Call(&v1::ClientService::Stub::GetReport, std::move(request), patience);
}

absl::StatusOr<v1::FindArtifactReply> CoordinatorClient::FindArtifact(const std::string& sha256,
                                                                      Nanos patience) {
  v1::FindArtifactRequest request;
  request.set_sha256(sha256);
  return Call(&v1::ClientService::Stub::FindArtifact, std::move(request), patience);
}

}  // namespace rackmark
