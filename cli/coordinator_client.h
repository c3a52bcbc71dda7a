// The CLI's calls to the coordinator that leads: one blocking function per RPC, each with a
// deadline and our Identity. Reads and Submit are repeated while nobody answers, because each of
// them may be called again (client_api.proto), and go to the next one of several coordinators. Any
// thread.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/client_api.grpc.pb.h"
#include "rpc/coordinators.h"

namespace rackmark {

class CoordinatorClient {
 public:
  // Waits before a call is repeated; false: somebody wants us to stop, so it is not repeated. Asked
  // with 0 while a call waits for its answer, so that a coordinator that hangs holds up nobody.
  using Pause = std::function<bool(Nanos)>;

  CoordinatorClient(std::shared_ptr<Coordinators> coordinators, std::string incarnation,
                    Pause pause);

  // `patience`: how long an unreachable coordinator is called again before UNAVAILABLE.
  absl::StatusOr<v1::GetVersionReply> GetVersion(Nanos patience);
  absl::StatusOr<v1::SubmitReply> Submit(const v1::Job& job, const std::string& submission_id,
                                         Nanos patience);
  absl::StatusOr<v1::CancelReply> Cancel(uint64_t job_id, const std::string& reason,
                                         Nanos patience);
  // All of them, in as many messages as they need; each has this patience.
  absl::StatusOr<v1::ListNodesReply> ListNodes(Nanos patience);
  // The newest ones. `limit` 0: as many as the coordinator sends unasked.
  absl::StatusOr<v1::ListJobsReply> ListJobs(uint32_t limit, Nanos patience);
  absl::StatusOr<v1::ListRunsReply> ListRuns(uint64_t job_id, uint32_t limit, Nanos patience);
  absl::StatusOr<v1::WhyReply> Why(uint64_t job_id, Nanos patience);
  absl::StatusOr<v1::GetReportReply> GetReport(uint64_t job_id, Nanos patience);

  absl::StatusOr<v1::SubmitSuiteReply> SubmitSuite(const v1::Suite& suite,
                                                   const std::string& submission_id,
                                                   Nanos patience);
  // `suite_id` 0: the newest ones.
  absl::StatusOr<v1::ListSuitesReply> ListSuites(uint64_t suite_id, uint32_t limit, Nanos patience);
  absl::StatusOr<v1::ApplyScheduleReply> ApplySchedule(const v1::Schedule& schedule,
                                                       Nanos patience);
  absl::StatusOr<v1::ListSchedulesReply> ListSchedules(Nanos patience);
  absl::StatusOr<v1::RemoveScheduleReply> RemoveSchedule(const std::string& name, Nanos patience);
  absl::StatusOr<v1::ChangeNodeReply> ChangeNode(const v1::ChangeNodeRequest& request,
                                                 Nanos patience);

  absl::StatusOr<v1::FindArtifactReply> FindArtifact(const std::string& sha256, Nanos patience);
  // Whole, also if it is there already (put_artifact.cc).
  absl::StatusOr<v1::PutArtifactReply> PutArtifact(const std::string& sha256,
                                                   std::string_view bytes, Nanos patience);

  // For calls that are streams: whoever makes one says there what came of it.
  Coordinators& coordinators() { return *coordinators_; }
  v1::Identity identity() const;
  // Checks who answered and remembers it; FAILED_PRECONDITION if we cannot talk with them.
  absl::Status Meet(const v1::Identity& theirs);
  std::string cluster_id() const { return identity().cluster_id(); }

 private:
  absl::StatusOr<v1::PutArtifactReply> PutOnce(const Coordinators::Way& way,
                                               const std::string& sha256, std::string_view bytes);
  template <typename Request, typename Reply>
  using Method = void (v1::ClientService::StubInterface::async_interface::*)(
      grpc::ClientContext*, const Request*, Reply*, std::function<void(grpc::Status)>);
  template <typename Request, typename Reply>
  absl::StatusOr<Reply> Call(Method<Request, Reply> method, Request request, Nanos patience);
  // One try. Ends early, as CANCELLED, once somebody wants us to stop.
  template <typename Request, typename Reply>
  absl::Status CallOnce(const Coordinators::Way& way, Method<Request, Reply> method,
                        const Request& request, Nanos deadline, Reply* reply);

  const std::shared_ptr<Coordinators> coordinators_;
  const std::string incarnation_;
  const Pause pause_;
  mutable std::mutex mutex_;
  std::string cluster_id_;  // guarded by mutex_
  uint64_t epoch_ = 0;      // guarded by mutex_
};

// Whether a broken call may be made again: nobody was there, the line broke, or another one leads.
bool IsConnectionLoss(const absl::Status& status);

}  // namespace rackmark
