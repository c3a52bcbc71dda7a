#include "cli/coordinator_client.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "rpc/identity.h"
#include "rpc/limits.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

using AsyncStub = v1::ClientService::StubInterface::async_interface;

constexpr Nanos kLook = 50 * kMillisecond;  // how often a waiting call asks whether it should end

// gRPC's words for it name sockets, not what to do.
absl::Status GaveUp(const absl::Status& status) {
  if (absl::IsResourceExhausted(status) && absl::StrContains(status.message(), "larger than max")) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "what was asked for does not fit into one message of ", kMessageBytesMax >> 20,
        " MiB; ask for less, such as one job or a smaller sweep (", status.message(), ")"));
  }
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
absl::Status CoordinatorClient::CallOnce(Method<Request, Reply> method, const Request& request,
                                         Nanos deadline, Reply* reply) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::nanoseconds(deadline));
  // A call that is made after the stop, such as the cancel itself, is not ended by that stop.
  const bool wanted = pause_(0);
  std::mutex mutex;
  std::condition_variable ended;
  std::optional<grpc::Status> status;
  (stub_->async()->*method)(&context, &request, reply, [&](grpc::Status how) {
    // Notified under the lock: after it, nothing of this frame may be touched.
    std::lock_guard lock(mutex);
    status = std::move(how);
    ended.notify_all();
  });
  std::unique_lock lock(mutex);
  bool stopped = false;
  while (
      !ended.wait_for(lock, std::chrono::nanoseconds(kLook), [&] { return status.has_value(); })) {
    if (stopped || !wanted) continue;
    lock.unlock();
    stopped = !pause_(0);
    lock.lock();
    if (stopped) context.TryCancel();
  }
  if (stopped && !status->ok()) {
    return absl::CancelledError("stopped before the coordinator had answered");
  }
  return FromGrpc(*status);
}

template <typename Request, typename Reply>
absl::StatusOr<Reply> CoordinatorClient::Call(Method<Request, Reply> method, Request request,
                                              Nanos patience) {
  const Nanos deadline = SystemClock().Monotonic() + patience;
  Nanos pause = 50 * kMillisecond;
  while (true) {
    *request.mutable_identity() = identity();
    Reply reply;
    const absl::Status status = CallOnce(method, request, std::max(patience, kSecond), &reply);
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
  return Call(&AsyncStub::GetVersion, v1::GetVersionRequest(), patience);
}

absl::StatusOr<v1::SubmitReply> CoordinatorClient::Submit(const v1::Job& job,
                                                          const std::string& submission_id,
                                                          Nanos patience) {
  v1::SubmitRequest request;
  *request.mutable_job() = job;
  request.set_submission_id(submission_id);
  return Call(&AsyncStub::Submit, std::move(request), patience);
}

absl::StatusOr<v1::CancelReply> CoordinatorClient::Cancel(uint64_t job_id,
                                                          const std::string& reason,
                                                          Nanos patience) {
  v1::CancelRequest request;
  request.set_job_id(job_id);
  request.set_reason(reason);
  return Call(&AsyncStub::Cancel, std::move(request), patience);
}

absl::StatusOr<v1::ListNodesReply> CoordinatorClient::ListNodes(Nanos patience) {
  v1::ListNodesRequest request;
  ASSIGN_OR_RETURN(auto all, Call(&AsyncStub::ListNodes, request, patience));
  while (all.left_out() > 0 && !all.nodes().empty()) {
    request.set_after_node_id(all.nodes().rbegin()->node_id());
    ASSIGN_OR_RETURN(auto page, Call(&AsyncStub::ListNodes, request, patience));
    if (page.nodes().empty()) break;  // the caller is told how many are left out
    all.set_left_out(page.left_out());
    for (v1::NodeStatus& node : *page.mutable_nodes()) *all.add_nodes() = std::move(node);
  }
  return all;
}

absl::StatusOr<v1::ListJobsReply> CoordinatorClient::ListJobs(Nanos patience) {
  return Call(&AsyncStub::ListJobs, v1::ListJobsRequest(), patience);
}

absl::StatusOr<v1::ListRunsReply> CoordinatorClient::ListRuns(uint64_t job_id, Nanos patience) {
  v1::ListRunsRequest request;
  request.set_job_id(job_id);
  return Call(&AsyncStub::ListRuns, std::move(request), patience);
}

absl::StatusOr<v1::WhyReply> CoordinatorClient::Why(uint64_t job_id, Nanos patience) {
  v1::WhyRequest request;
  request.set_job_id(job_id);
  return Call(&AsyncStub::Why, std::move(request), patience);
}

absl::StatusOr<v1::GetReportReply> CoordinatorClient::GetReport(uint64_t job_id, Nanos patience) {
  v1::GetReportRequest request;
  request.set_job_id(job_id);
  return Call(&AsyncStub::GetReport, std::move(request), patience);
}

absl::StatusOr<v1::FindArtifactReply> CoordinatorClient::FindArtifact(const std::string& sha256,
                                                                      Nanos patience) {
  v1::FindArtifactRequest request;
  request.set_sha256(sha256);
  return Call(&AsyncStub::FindArtifact, std::move(request), patience);
}

}  // namespace rackmark
