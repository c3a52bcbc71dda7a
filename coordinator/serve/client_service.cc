#include "coordinator/serve/client_service.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "common/utf8.h"
#include "common/version.h"
#include "coordinator/core/view.h"
#include "coordinator/core/why.h"
#include "jobs/spec.h"
#include "rpc/limits.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

constexpr uint32_t kListDefault = 100;
constexpr uint32_t kListMax = 10'000;
constexpr size_t kReasonBytesMax = 1024;
constexpr size_t kSubmissionIdBytesMax = 128;

uint32_t LimitOf(uint32_t asked) { return asked == 0 ? kListDefault : std::min(asked, kListMax); }

// Near the bound of a message the rest of a list is left out: a limit that the client could have
// set itself.
bool IsFull(size_t bytes) { return bytes > static_cast<size_t>(kMessageBytesMax) * 9 / 10; }

// By id, the newest first.
template <typename Status>
using Newest = std::map<uint64_t, Status, std::greater<>>;

// What a list is made of: those that are open and those that have ended, read one after the other.
template <typename Status>
struct Listed {
  Newest<Status> newest;
  uint64_t all = 0;  // of which these are the newest

  // An ended one that was open a moment ago is in both reads: the later word counts, and it once.
  void AddEnded(uint64_t id, Status status) {
    if (newest.count(id) > 0 && all > 0) --all;
    newest[id] = std::move(status);
  }
};

uint32_t LeftOut(uint64_t all, int listed) {
  const auto shown = static_cast<uint64_t>(listed);
  return all <= shown ? 0 : static_cast<uint32_t>(std::min<uint64_t>(all - shown, UINT32_MAX));
}

template <typename Status>
void Fill(Newest<Status>& from, uint32_t limit, google::protobuf::RepeatedPtrField<Status>& reply) {
  size_t bytes = 0;
  for (auto& [id, status] : from) {
    if (reply.size() >= static_cast<int>(limit) || IsFull(bytes)) break;
    bytes += status.ByteSizeLong();
    *reply.Add() = std::move(status);
  }
}

}  // namespace

absl::StatusOr<v1::Principal> ClientService::Admit(std::string_view rpc,
                                                   const grpc::CallbackServerContext& context,
                                                   const v1::Identity& theirs) const {
  ASSIGN_OR_RETURN(auto principal, options_.gate->Admit(rpc, context));
  RETURN_IF_ERROR(options_.gate->CheckIdentity(theirs));
  return principal;
}

grpc::ServerUnaryReactor* ClientService::ReadAfter(
    absl::Status admitted, grpc::CallbackServerContext* context,
    std::function<absl::Status(const State&, Now)> read) {
  auto* reactor = context->DefaultReactor();
  absl::Status status = std::move(admitted);
  if (status.ok()) {
    status = options_.loop->Read([reactor, read = std::move(read)](const Outcome& outcome) {
      reactor->Finish(
          ToGrpc(outcome.state == nullptr ? outcome.status : read(*outcome.state, outcome.now)));
    });
  }
  if (!status.ok()) reactor->Finish(ToGrpc(status));
  return reactor;
}

template <typename Request, typename Reply>
grpc::ServerUnaryReactor* ClientService::ReadBoth(
    std::string_view rpc, grpc::CallbackServerContext* context, const Request* request,
    Reply* reply, std::function<absl::StatusOr<bool>(const State&, Now)> open,
    std::function<absl::Status(History&)> ended) {
  auto* reactor = context->DefaultReactor();
  *reply->mutable_identity() = options_.identity;
  absl::Status status = Admit(rpc, *context, request->identity()).status();
  if (status.ok()) {
    const auto then = [reactor, open = std::move(open), ended = std::move(ended),
                       archive = options_.archive](const Outcome& outcome) {
      if (outcome.state == nullptr) return reactor->Finish(ToGrpc(outcome.status));
      const auto more = open(*outcome.state, outcome.now);
      if (!more.ok() || !*more) return reactor->Finish(ToGrpc(more.status()));
      const absl::Status asked = archive->Ask([reactor, ended](History* history) {
        reactor->Finish(ToGrpc(history == nullptr
                                   ? absl::UnavailableError("the coordinator is stopping")
                                   : ended(*history)));
      });
      if (!asked.ok()) reactor->Finish(ToGrpc(asked));
    };
    status = options_.loop->Read(then);
  }
  if (!status.ok()) reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* ClientService::Submit(grpc::CallbackServerContext* context,
                                                const v1::SubmitRequest* request,
                                                v1::SubmitReply* reply) {
  auto* reactor = context->DefaultReactor();
  *reply->mutable_identity() = options_.identity;
  const auto principal = Admit("Submit", *context, request->identity());
  absl::Status status = principal.status();
  if (status.ok() && request->submission_id().size() > kSubmissionIdBytesMax) {
    status = absl::InvalidArgumentError("submission_id is longer than 128 bytes");
  }
  // A client that is not our program may send what our YAML reader would have refused.
  if (status.ok()) status = CheckJob(request->job());
  if (status.ok()) status = CheckArtifacts(request->job(), options_.desk->store());
  if (status.ok()) {
    status = options_.loop->Post({*principal, SubmitJob{request->job(), request->submission_id()}},
                                 [reactor, reply](const Outcome& outcome) {
                                   if (outcome.status.ok()) {
                                     const auto& submitted = std::get<Submitted>(outcome.reply);
                                     reply->set_job_id(submitted.job.value);
                                     reply->set_note(submitted.note);
                                   }
                                   reactor->Finish(ToGrpc(outcome.status));
                                 });
  }
  if (!status.ok()) reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* ClientService::Cancel(grpc::CallbackServerContext* context,
                                                const v1::CancelRequest* request,
                                                v1::CancelReply* reply) {
  auto* reactor = context->DefaultReactor();
  *reply->mutable_identity() = options_.identity;
  const auto principal = Admit("Cancel", *context, request->identity());
  absl::Status status = principal.status();
  if (status.ok()) {
    const CancelJob cancel = {JobId{request->job_id()},
                              std::string(CutUtf8(request->reason(), kReasonBytesMax))};
    status = options_.loop->Post({*principal, cancel}, [reactor, reply](const Outcome& outcome) {
      if (outcome.status.ok()) {
        reply->set_was_running(std::get<Cancelled>(outcome.reply).was_running);
      }
      reactor->Finish(ToGrpc(outcome.status));
    });
  }
  if (!status.ok()) reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerReadReactor<v1::PutArtifactRequest>* ClientService::PutArtifact(
    grpc::CallbackServerContext* context, v1::PutArtifactReply* reply) {
  return TakeArtifact(artifacts_, options_.gate->Admit("PutArtifact", *context).status(), reply);
}

grpc::ServerUnaryReactor* ClientService::FindArtifact(grpc::CallbackServerContext* context,
                                                      const v1::FindArtifactRequest* request,
                                                      v1::FindArtifactReply* reply) {
  auto* reactor = context->DefaultReactor();
  *reply->mutable_identity() = options_.identity;
  absl::Status status = Admit("FindArtifact", *context, request->identity()).status();
  if (status.ok()) {
    status = options_.desk->Post([this, reactor, request, reply] {
      const auto bytes = options_.desk->store().FindWhole(request->sha256());
      if (bytes.ok() && *bytes) {
        reply->set_present(true);
        reply->set_bytes(**bytes);
      }
      reactor->Finish(ToGrpc(bytes.status()));
    });
  }
  if (!status.ok()) reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* ClientService::ListNodes(grpc::CallbackServerContext* context,
                                                   const v1::ListNodesRequest* request,
                                                   v1::ListNodesReply* reply) {
  const NodeId after{request->after_node_id()};
  return Read("ListNodes", context, request, reply, [reply, after](const State& state, Now now) {
    const auto& nodes = state.hard.nodes;
    size_t bytes = 0;
    auto it = nodes.upper_bound(after);
    for (; it != nodes.end(); ++it) {
      v1::NodeStatus view = ViewNode(state, it->first, now.monotonic);
      bytes += view.ByteSizeLong();
      if (reply->nodes_size() > 0 && IsFull(bytes)) break;
      *reply->add_nodes() = std::move(view);
    }
    reply->set_left_out(static_cast<uint32_t>(std::distance(it, nodes.end())));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ClientService::ListJobs(grpc::CallbackServerContext* context,
                                                  const v1::ListJobsRequest* request,
                                                  v1::ListJobsReply* reply) {
  const uint32_t limit = LimitOf(request->limit());
  auto jobs = std::make_shared<Listed<v1::JobStatus>>();
  const auto open = [jobs, limit](const State& state, Now) -> absl::StatusOr<bool> {
    const auto& all = state.hard.jobs;
    jobs->all = all.size();
    for (auto it = all.rbegin(); it != all.rend() && jobs->newest.size() < limit; ++it) {
      jobs->newest[it->first.value] = ViewJob(state, it->first);
    }
    return true;
  };
  const auto ended = [jobs, limit, reply](History& history) -> absl::Status {
    ASSIGN_OR_RETURN(const auto records, history.Jobs(limit));
    jobs->all += records.size();
    if (records.size() >= limit) {  // else these are all of them
      // Without the count the list is as good.
      if (const auto totals = history.Count(); totals.ok()) {
        jobs->all += totals->jobs - std::min<uint64_t>(totals->jobs, records.size());
      }
    }
    for (const v1::JobRecord& record : records) jobs->AddEnded(record.job_id(), ViewEnded(record));
    Fill(jobs->newest, limit, *reply->mutable_jobs());
    reply->set_left_out(LeftOut(jobs->all, reply->jobs_size()));
    return absl::OkStatus();
  };
  return ReadBoth("ListJobs", context, request, reply, open, ended);
}

grpc::ServerUnaryReactor* ClientService::ListRuns(grpc::CallbackServerContext* context,
                                                  const v1::ListRunsRequest* request,
                                                  v1::ListRunsReply* reply) {
  const JobId job{request->job_id()};
  return job.IsNone() ? ListNewestRuns(context, request, reply)
                      : ListRunsOf(job, context, request, reply);
}

grpc::ServerUnaryReactor* ClientService::ListNewestRuns(grpc::CallbackServerContext* context,
                                                        const v1::ListRunsRequest* request,
                                                        v1::ListRunsReply* reply) {
  const uint32_t limit = LimitOf(request->limit());
  auto runs = std::make_shared<Listed<v1::RunStatus>>();
  const auto open = [runs, limit](const State& state, Now now) -> absl::StatusOr<bool> {
    const auto& all = state.hard.runs;
    runs->all = all.size();
    for (auto it = all.rbegin(); it != all.rend() && runs->newest.size() < limit; ++it) {
      runs->newest[it->first.value] = ViewRun(state, it->first, now.monotonic);
    }
    return true;
  };
  const auto ended = [runs, limit, reply](History& history) -> absl::Status {
    ASSIGN_OR_RETURN(const auto records, history.Runs(limit));
    runs->all += records.size();
    if (records.size() >= limit) {
      // Without the count the list is as good.
      if (const auto totals = history.Count(); totals.ok()) {
        runs->all += totals->runs - std::min<uint64_t>(totals->runs, records.size());
      }
    }
    for (const v1::RunRecord& record : records) runs->AddEnded(record.run_id(), ViewEnded(record));
    Fill(runs->newest, limit, *reply->mutable_runs());
    reply->set_left_out(LeftOut(runs->all, reply->runs_size()));
    return absl::OkStatus();
  };
  return ReadBoth("ListRuns", context, request, reply, open, ended);
}

// All of one job's, in order; with a limit the newest of them.
grpc::ServerUnaryReactor* ClientService::ListRunsOf(JobId job, grpc::CallbackServerContext* context,
                                                    const v1::ListRunsRequest* request,
                                                    v1::ListRunsReply* reply) {
  const uint32_t limit = request->limit() == 0 ? kListMax : LimitOf(request->limit());
  const auto skipped = [reply, limit](size_t all) {
    const size_t skip = all > limit ? all - limit : 0;
    reply->set_left_out(static_cast<uint32_t>(skip));
    return skip;
  };
  auto add = [reply, limit, bytes = size_t{0}](v1::RunStatus status) mutable {
    if (reply->runs_size() >= static_cast<int>(limit) || IsFull(bytes)) {
      reply->set_left_out(reply->left_out() + 1);
      return;
    }
    bytes += status.ByteSizeLong();
    *reply->add_runs() = std::move(status);
  };
  const auto open = [job, add, skipped](const State& state,
                                        Now now) mutable -> absl::StatusOr<bool> {
    const auto it = state.hard.jobs.find(job);
    if (it == state.hard.jobs.end() && !HasEnded(state.hard, job)) {
      return NoSuchJob(state.hard.cluster_id, job);
    }
    if (it == state.hard.jobs.end()) return true;
    const std::vector<RunId> runs = RunsOf(it->second);
    for (size_t i = skipped(runs.size()); i < runs.size(); ++i) {
      add(ViewRun(state, runs[i], now.monotonic));
    }
    return false;
  };
  const auto ended = [job, add, skipped, cluster_id = options_.identity.cluster_id()](
                         History& history) mutable -> absl::Status {
    ASSIGN_OR_RETURN(const auto record, history.Job(job.value));
    if (!record) {
      return NoLongerKept(cluster_id, job);
    }
    const int all = record->runs_size();
    for (int i = static_cast<int>(skipped(static_cast<size_t>(all))); i < all; ++i) {
      add(ViewEnded(record->runs(i)));
    }
    return absl::OkStatus();
  };
  return ReadBoth("ListRuns", context, request, reply, open, ended);
}

grpc::ServerUnaryReactor* ClientService::Why(grpc::CallbackServerContext* context,
                                             const v1::WhyRequest* request, v1::WhyReply* reply) {
  const JobId job{request->job_id()};
  const auto open = [job, reply](const State& state, Now now) -> absl::StatusOr<bool> {
    if (state.hard.jobs.count(job) > 0) {
      reply->MergeFrom(WhyJob(state, job, now.monotonic));
      return false;
    }
    if (HasEnded(state.hard, job)) return true;
    return NoSuchJob(state.hard.cluster_id, job);
  };
  const auto ended =
      [job, reply, cluster_id = options_.identity.cluster_id()](History& history) -> absl::Status {
    ASSIGN_OR_RETURN(const auto record, history.Job(job.value));
    if (!record) {
      return NoLongerKept(cluster_id, job);
    }
    std::vector<v1::RunStatus> runs;
    for (const v1::RunRecord& run : record->runs()) runs.push_back(ViewEnded(run));
    *reply->mutable_job() = ViewEnded(record->job());
    *reply->mutable_gang() = record->job().job().spec().gang();
    reply->set_summary(WhyEnded(cluster_id, reply->job(), runs));
    return absl::OkStatus();
  };
  return ReadBoth("Why", context, request, reply, open, ended);
}

grpc::ServerUnaryReactor* ClientService::GetReport(grpc::CallbackServerContext* context,
                                                   const v1::GetReportRequest* request,
                                                   v1::GetReportReply* reply) {
  auto* reactor = context->DefaultReactor();
  *reply->mutable_identity() = options_.identity;
  absl::Status status = Admit("GetReport", *context, request->identity()).status();
  if (status.ok()) {
    const JobId job{request->job_id()};
    Reporter* reporter = options_.reporter;
    status = options_.loop->Read([reactor, reply, job, reporter](const Outcome& outcome) {
      if (outcome.state == nullptr) return reactor->Finish(ToGrpc(outcome.status));
      const absl::Status asked = reporter->Assemble(
          *outcome.state, job, [reactor, reply](absl::StatusOr<v1::JobSummary> summary) {
            if (summary.ok()) *reply->mutable_summary() = *std::move(summary);
            reactor->Finish(ToGrpc(summary.status()));
          });
      if (!asked.ok()) reactor->Finish(ToGrpc(asked));
    });
  }
  if (!status.ok()) reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* ClientService::GetVersion(grpc::CallbackServerContext* context,
                                                    const v1::GetVersionRequest* request,
                                                    v1::GetVersionReply* reply) {
  auto* reactor = context->DefaultReactor();
  *reply->mutable_identity() = options_.identity;
  reply->set_version(std::string(Version()));
  reply->set_git_commit(std::string(GitCommit()));
  reactor->Finish(ToGrpc(Admit("GetVersion", *context, request->identity()).status()));
  return reactor;
}

grpc::ServerWriteReactor<v1::WatchJobReply>* ClientService::WatchJob(
    grpc::CallbackServerContext* context, const v1::WatchJobRequest* request) {
  return options_.hub->Watch(context, JobId{request->job_id()},
                             Admit("WatchJob", *context, request->identity()).status());
}

}  // namespace rackmark
