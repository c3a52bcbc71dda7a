// People and scripts: submissions and reads. gRPC's threads only check and enqueue; the answer is
// made on the loop's thread after the commit. Owned by main; must outlive the listener and the
// loop.
#pragma once

#include <functional>
#include <string_view>
#include <utility>

#include "coordinator/archive.h"
#include "coordinator/loop.h"
#include "coordinator/reporter.h"
#include "coordinator/serve/artifact_streams.h"
#include "coordinator/serve/auth.h"
#include "coordinator/serve/watch_hub.h"
#include "rackmark/v1/client_api.grpc.pb.h"

namespace rackmark {

class ClientService : public v1::ClientService::CallbackService {
 public:
  struct Options {
    Loop* loop = nullptr;
    Reporter* reporter = nullptr;
    WatchHub* hub = nullptr;
    const Gate* gate = nullptr;
    v1::Identity identity;  // ours: in every reply
    ArtifactDesk* desk = nullptr;
    Archive* archive = nullptr;
  };
  explicit ClientService(Options options)
      : options_(std::move(options)), artifacts_{options_.desk, options_.gate, options_.identity} {}

  grpc::ServerUnaryReactor* Submit(grpc::CallbackServerContext*, const v1::SubmitRequest*,
                                   v1::SubmitReply*) override;
  grpc::ServerUnaryReactor* Cancel(grpc::CallbackServerContext*, const v1::CancelRequest*,
                                   v1::CancelReply*) override;
  grpc::ServerReadReactor<v1::PutArtifactRequest>* PutArtifact(grpc::CallbackServerContext*,
                                                               v1::PutArtifactReply*) override;
  grpc::ServerUnaryReactor* FindArtifact(grpc::CallbackServerContext*,
                                         const v1::FindArtifactRequest*,
                                         v1::FindArtifactReply*) override;
  grpc::ServerUnaryReactor* ListNodes(grpc::CallbackServerContext*, const v1::ListNodesRequest*,
                                      v1::ListNodesReply*) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext*, const v1::ListJobsRequest*,
                                     v1::ListJobsReply*) override;
  grpc::ServerUnaryReactor* ListRuns(grpc::CallbackServerContext*, const v1::ListRunsRequest*,
                                     v1::ListRunsReply*) override;
  grpc::ServerUnaryReactor* Why(grpc::CallbackServerContext*, const v1::WhyRequest*,
                                v1::WhyReply*) override;
  grpc::ServerUnaryReactor* GetReport(grpc::CallbackServerContext*, const v1::GetReportRequest*,
                                      v1::GetReportReply*) override;
  grpc::ServerUnaryReactor* GetVersion(grpc::CallbackServerContext*, const v1::GetVersionRequest*,
                                       v1::GetVersionReply*) override;
  grpc::ServerWriteReactor<v1::WatchJobReply>* WatchJob(grpc::CallbackServerContext*,
                                                        const v1::WatchJobRequest*) override;

  // Of suites, schedules and nodes (fleet_calls.cc).
  grpc::ServerUnaryReactor* SubmitSuite(grpc::CallbackServerContext*, const v1::SubmitSuiteRequest*,
                                        v1::SubmitSuiteReply*) override;
  grpc::ServerUnaryReactor* ListSuites(grpc::CallbackServerContext*, const v1::ListSuitesRequest*,
                                       v1::ListSuitesReply*) override;
  grpc::ServerUnaryReactor* ApplySchedule(grpc::CallbackServerContext*,
                                          const v1::ApplyScheduleRequest*,
                                          v1::ApplyScheduleReply*) override;
  grpc::ServerUnaryReactor* ListSchedules(grpc::CallbackServerContext*,
                                          const v1::ListSchedulesRequest*,
                                          v1::ListSchedulesReply*) override;
  grpc::ServerUnaryReactor* RemoveSchedule(grpc::CallbackServerContext*,
                                           const v1::RemoveScheduleRequest*,
                                           v1::RemoveScheduleReply*) override;
  grpc::ServerUnaryReactor* ChangeNode(grpc::CallbackServerContext*, const v1::ChangeNodeRequest*,
                                       v1::ChangeNodeReply*) override;

 private:
  // Role and identity; the same two steps in front of every call.
  absl::StatusOr<v1::Principal> Admit(std::string_view rpc,
                                      const grpc::CallbackServerContext& context,
                                      const v1::Identity& theirs) const;
  // Runs `read` on the loop's thread and finishes with its status.
  template <typename Request, typename Reply>
  grpc::ServerUnaryReactor* Read(std::string_view rpc, grpc::CallbackServerContext* context,
                                 const Request* request, Reply* reply,
                                 std::function<absl::Status(const State&, Now)> read) {
    *reply->mutable_identity() = options_.identity;
    return ReadAfter(Admit(rpc, *context, request->identity()).status(), context, std::move(read));
  }
  grpc::ServerUnaryReactor* ReadAfter(absl::Status admitted, grpc::CallbackServerContext* context,
                                      std::function<absl::Status(const State&, Now)> read);
  // As Read, and then, if that says true, `ended` on the archive's thread.
  template <typename Request, typename Reply>
  grpc::ServerUnaryReactor* ReadBoth(std::string_view rpc, grpc::CallbackServerContext* context,
                                     const Request* request, Reply* reply,
                                     std::function<absl::StatusOr<bool>(const State&, Now)> open,
                                     std::function<absl::Status(History&)> ended);

  grpc::ServerUnaryReactor* ListNewestRuns(grpc::CallbackServerContext*, const v1::ListRunsRequest*,
                                           v1::ListRunsReply*);
  grpc::ServerUnaryReactor* ListRunsOf(JobId job, grpc::CallbackServerContext*,
                                       const v1::ListRunsRequest*, v1::ListRunsReply*);

  const Options options_;
  const ArtifactContext artifacts_;
};

}  // namespace rackmark
