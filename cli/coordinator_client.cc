#include "cli/coordinator_client.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "common/text.h"
#include "rpc/identity.h"
#include "rpc/limits.h"
#include "rpc/not_leader.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

using AsyncStub = v1::ClientService::StubInterface::async_interface;

constexpr Nanos kLook = 50 * kMillisecond;  // how often a waiting call asks whether it should end

// gRPC's words for it name sockets, not what to do.
absl::Status GaveUp(const absl::Status& status) {
  if (const auto said = NotLeaderOf(status)) {
    if (said->address().empty()) {
      return absl::UnavailableError(
          "the coordinators stand by and none of them leads; look at their logs, and at their "
          "database");
    }
    return absl::UnavailableError(absl::StrCat("the coordinator stands by; the one that leads is ",
                                               EscapeControl(said->address()),
                                               ": name it too, as in --coordinator A,B"));
  }
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
         absl::IsUnknown(status) || absl::IsAborted(status) || absl::IsCancelled(status) ||
         NotLeaderOf(status).has_value();
}

CoordinatorClient::CoordinatorClient(std::shared_ptr<Coordinators> coordinators,
                                     std::string incarnation, Pause pause)
    : coordinators_(std::move(coordinators)),
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
absl::Status CoordinatorClient::CallOnce(const Coordinators::Way& way,
                                         Method<Request, Reply> method, const Request& request,
                                         Nanos deadline, Reply* reply) {
  v1::ClientService::Stub stub(way.channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::nanoseconds(deadline));
  // A call that is made after the stop, such as the cancel itself, is not ended by that stop.
  const bool wanted = pause_(0);
  std::mutex mutex;
  std::condition_variable ended;
  std::optional<grpc::Status> status;
  (stub.async()->*method)(&context, &request, reply, [&](grpc::Status how) {
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
  // Of several, one that is stopped must not use up the time that another one could answer in; one
  // that leads and is only slow is asked again, and given twice as long.
  Nanos limit = std::max(coordinators_->several() ? patience / 4 : patience, kSecond);
  while (true) {
    *request.mutable_identity() = identity();
    Reply reply;
    const Coordinators::Way way = coordinators_->Ask();
    const absl::Status status = CallOnce(way, method, request, limit, &reply);
    if (status.ok()) {
      coordinators_->Answered(way);
      RETURN_IF_ERROR(Meet(reply.identity()));
      return reply;
    }
    // Alone, a standby does not become the leader by being asked again.
    const bool in_vain = !coordinators_->several() && NotLeaderOf(status);
    if (!IsConnectionLoss(status) || in_vain) return GaveUp(status);
    // Also when the patience is over: the next call must not begin with the one that is silent.
    const bool at_once = coordinators_->MoveOn(way, status);
    if (SystemClock().Monotonic() + pause >= deadline) return GaveUp(status);
    if (absl::IsDeadlineExceeded(status)) limit = std::min(2 * limit, std::max(patience, kSecond));
    if (!pause_(at_once ? 0 : pause)) return status;
    if (!at_once) pause = std::min<Nanos>(2 * pause, kSecond);
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

absl::StatusOr<v1::ListJobsReply> CoordinatorClient::ListJobs(uint32_t limit, Nanos patience) {
  v1::ListJobsRequest request;
  request.set_limit(limit);
  return Call(&AsyncStub::ListJobs, std::move(request), patience);
}

absl::StatusOr<v1::ListRunsReply> CoordinatorClient::ListRuns(uint64_t job_id, uint32_t limit,
                                                              Nanos patience) {
  v1::ListRunsRequest request;
  request.set_job_id(job_id);
  request.set_limit(limit);
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

absl::StatusOr<v1::SubmitSuiteReply> CoordinatorClient::SubmitSuite(
    const v1::Suite& suite, const std::string& submission_id, Nanos patience) {
  v1::SubmitSuiteRequest request;
  *request.mutable_suite() = suite;
  request.set_submission_id(submission_id);
  return Call(&AsyncStub::SubmitSuite, std::move(request), patience);
}

absl::StatusOr<v1::ListSuitesReply> CoordinatorClient::ListSuites(uint64_t suite_id, uint32_t limit,
                                                                  Nanos patience) {
  v1::ListSuitesRequest request;
  request.set_suite_id(suite_id);
  request.set_limit(limit);
  return Call(&AsyncStub::ListSuites, std::move(request), patience);
}

absl::StatusOr<v1::ApplyScheduleReply> CoordinatorClient::ApplySchedule(
    const v1::Schedule& schedule, Nanos patience) {
  v1::ApplyScheduleRequest request;
  *request.mutable_schedule() = schedule;
  return Call(&AsyncStub::ApplySchedule, std::move(request), patience);
}

absl::StatusOr<v1::ListSchedulesReply> CoordinatorClient::ListSchedules(Nanos patience) {
  return Call(&AsyncStub::ListSchedules, v1::ListSchedulesRequest(), patience);
}

absl::StatusOr<v1::RemoveScheduleReply> CoordinatorClient::RemoveSchedule(const std::string& name,
                                                                          Nanos patience) {
  v1::RemoveScheduleRequest request;
  request.set_name(name);
  return Call(&AsyncStub::RemoveSchedule, std::move(request), patience);
}

absl::StatusOr<v1::ChangeNodeReply> CoordinatorClient::ChangeNode(
    const v1::ChangeNodeRequest& request, Nanos patience) {
  return Call(&AsyncStub::ChangeNode, request, patience);
}

absl::StatusOr<v1::FindArtifactReply> CoordinatorClient::FindArtifact(const std::string& sha256,
                                                                      Nanos patience) {
  v1::FindArtifactRequest request;
  request.set_sha256(sha256);
  return Call(&AsyncStub::FindArtifact, std::move(request), patience);
}

}  // namespace rackmark
