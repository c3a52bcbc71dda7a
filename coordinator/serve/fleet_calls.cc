// The calls of ClientService about suites, schedules and nodes.
#include <memory>
#include <utility>

#include "common/utf8.h"
#include "common/zone.h"
#include "coordinator/core/view.h"
#include "coordinator/serve/client_service.h"
#include "jobs/document.h"
#include "rpc/limits.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

constexpr size_t kReasonBytesMax = 1024;
constexpr size_t kSubmissionIdBytesMax = 128;
constexpr int kSuitesDefault = 100;

absl::Status CheckFiles(const v1::Suite& suite, ArtifactStore& store) {
  for (const v1::Job& job : suite.jobs()) RETURN_IF_ERROR(CheckArtifacts(job, store));
  return absl::OkStatus();
}

absl::Status CheckZone(std::string_view zone) { return FindZone(zone).status(); }

// One without anything to submit only switches the one of its name on or off.
absl::Status CheckApplied(const v1::Schedule& schedule, ArtifactStore& store) {
  if (schedule.what_case() == v1::Schedule::WHAT_NOT_SET && schedule.when().empty()) {
    return schedule.name().empty() ? absl::InvalidArgumentError("schedule.name is missing")
                                   : absl::OkStatus();
  }
  RETURN_IF_ERROR(CheckSchedule(schedule, CheckZone));
  return schedule.has_job() ? CheckArtifacts(schedule.job(), store)
                            : CheckFiles(schedule.suite(), store);
}

absl::Status NoSuchSuite(uint64_t id) {
  return absl::NotFoundError(
      absl::StrCat("there is no suite ", id,
                   ", or it is no longer kept; rackmark suites lists those there are"));
}

bool IsFull(size_t bytes) { return bytes > static_cast<size_t>(kMessageBytesMax) * 9 / 10; }

// The newest first.
void AddSuites(const State& state, int limit, v1::ListSuitesReply& reply) {
  size_t bytes = 0;
  const auto& all = state.hard.suites;
  for (auto it = all.rbegin(); it != all.rend() && reply.suites_size() < limit; ++it) {
    v1::SuiteStatus status = ViewSuite(state, it->first);
    bytes += status.ByteSizeLong();
    if (reply.suites_size() > 0 && IsFull(bytes)) break;
    *reply.add_suites() = std::move(status);
  }
}

}  // namespace

grpc::ServerUnaryReactor* ClientService::SubmitSuite(grpc::CallbackServerContext* context,
                                                     const v1::SubmitSuiteRequest* request,
                                                     v1::SubmitSuiteReply* reply) {
  auto* reactor = context->DefaultReactor();
  *reply->mutable_identity() = options_.identity;
  const auto principal = Admit("SubmitSuite", *context, request->identity());
  absl::Status status = principal.status();
  if (status.ok() && request->submission_id().size() > kSubmissionIdBytesMax) {
    status = absl::InvalidArgumentError("submission_id is longer than 128 bytes");
  }
  if (status.ok()) status = CheckSuite(request->suite());
  if (status.ok()) status = CheckFiles(request->suite(), options_.desk->store());
  if (status.ok()) {
    const auto then = [reactor, reply, jobs = static_cast<uint32_t>(request->suite().jobs_size())](
                          const Outcome& outcome) {
      if (outcome.status.ok()) {
        const auto& accepted = std::get<SuiteAccepted>(outcome.reply);
        reply->set_suite_id(accepted.suite.value);
        reply->set_first_job_id(accepted.first_job.value);
        reply->set_jobs(jobs);
        for (const std::string& note : accepted.notes) reply->add_notes(note);
      }
      reactor->Finish(ToGrpc(outcome.status));
    };
    status = options_.loop->Post(
        {*principal, rackmark::SubmitSuite{request->suite(), request->submission_id()}}, then);
  }
  if (!status.ok()) reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* ClientService::ListSuites(grpc::CallbackServerContext* context,
                                                    const v1::ListSuitesRequest* request,
                                                    v1::ListSuitesReply* reply) {
  const uint64_t id = request->suite_id();
  const int limit =
      request->limit() == 0
          ? kSuitesDefault
          : static_cast<int>(std::min<uint32_t>(request->limit(), kEndedSuitesKept * 2));
  return Read("ListSuites", context, request, reply, [id, limit, reply](const State& state, Now) {
    if (id == 0) {
      AddSuites(state, limit, *reply);
      return absl::OkStatus();
    }
    if (state.hard.suites.count(SuiteId{id}) == 0) return NoSuchSuite(id);
    *reply->add_suites() = ViewSuite(state, SuiteId{id});
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ClientService::ApplySchedule(grpc::CallbackServerContext* context,
                                                       const v1::ApplyScheduleRequest* request,
                                                       v1::ApplyScheduleReply* reply) {
  auto* reactor = context->DefaultReactor();
  *reply->mutable_identity() = options_.identity;
  const auto principal = Admit("ApplySchedule", *context, request->identity());
  absl::Status status = principal.status();
  if (status.ok()) status = CheckApplied(request->schedule(), options_.desk->store());
  if (status.ok()) {
    const auto then = [reactor, reply](const Outcome& outcome) {
      if (outcome.status.ok()) {
        const auto& applied = std::get<ScheduleApplied>(outcome.reply);
        reply->set_changed(applied.changed);
        // Of the same turn, another command may have removed it again.
        if (outcome.state->hard.schedules.count(applied.schedule) > 0) {
          *reply->mutable_schedule() = ViewSchedule(*outcome.state, applied.schedule, outcome.now);
        }
      }
      reactor->Finish(ToGrpc(outcome.status));
    };
    status = options_.loop->Post({*principal, rackmark::ApplySchedule{request->schedule()}}, then);
  }
  if (!status.ok()) reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* ClientService::ListSchedules(grpc::CallbackServerContext* context,
                                                       const v1::ListSchedulesRequest* request,
                                                       v1::ListSchedulesReply* reply) {
  return Read("ListSchedules", context, request, reply, [reply](const State& state, Now now) {
    size_t bytes = 0;
    for (const auto& [name, id] : state.hard.schedule_by_name) {
      v1::ScheduleStatus status = ViewSchedule(state, id, now);
      bytes += status.ByteSizeLong();
      if (reply->schedules_size() > 0 && IsFull(bytes)) break;
      *reply->add_schedules() = std::move(status);
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ClientService::RemoveSchedule(grpc::CallbackServerContext* context,
                                                        const v1::RemoveScheduleRequest* request,
                                                        v1::RemoveScheduleReply* reply) {
  auto* reactor = context->DefaultReactor();
  *reply->mutable_identity() = options_.identity;
  const auto principal = Admit("RemoveSchedule", *context, request->identity());
  absl::Status status = principal.status();
  if (status.ok()) {
    status = options_.loop->Post(
        {*principal, rackmark::RemoveSchedule{request->name()}},
        [reactor](const Outcome& outcome) { reactor->Finish(ToGrpc(outcome.status)); });
  }
  if (!status.ok()) reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* ClientService::ChangeNode(grpc::CallbackServerContext* context,
                                                    const v1::ChangeNodeRequest* request,
                                                    v1::ChangeNodeReply* reply) {
  auto* reactor = context->DefaultReactor();
  *reply->mutable_identity() = options_.identity;
  const auto principal = Admit("ChangeNode", *context, request->identity());
  absl::Status status = principal.status();
  if (status.ok()) {
    rackmark::ChangeNode change{request->node(), request->change(),
                                std::string(CutUtf8(request->reason(), kReasonBytesMax)),
                                std::nullopt};
    if (request->has_grace_ns()) change.grace = request->grace_ns();
    const auto then = [reactor, reply](const Outcome& outcome) {
      if (outcome.status.ok()) {
        const auto& altered = std::get<NodeAltered>(outcome.reply);
        reply->set_changed(altered.changed);
        *reply->mutable_node() = ViewNode(*outcome.state, altered.node, outcome.now.monotonic);
      }
      reactor->Finish(ToGrpc(outcome.status));
    };
    status = options_.loop->Post({*principal, std::move(change)}, then);
  }
  if (!status.ok()) reactor->Finish(ToGrpc(status));
  return reactor;
}

}  // namespace rackmark
