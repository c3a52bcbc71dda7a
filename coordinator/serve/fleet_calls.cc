// The calls of ClientService about suites, schedules and nodes.
#include <memory>
#include <utility>

#include "common/text.h"
#include "common/zone.h"
#include "coordinator/core/view.h"
#include "coordinator/serve/client_service.h"
#include "jobs/bounds.h"
#include "jobs/document.h"
#include "rpc/limits.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

constexpr size_t kSubmissionIdBytesMax = 128;
constexpr int kSuitesDefault = 100;

absl::Status CheckFiles(const v1::Suite& suite, ArtifactStore& store) {
  for (const v1::Job& job : suite.jobs()) RETURN_IF_ERROR(CheckArtifacts(job, store));
  return absl::OkStatus();
}

bool IsFull(size_t bytes) { return bytes > static_cast<size_t>(kMessageBytesMax) * 9 / 10; }

// Before it comes to the loop, which looks for the nearest of all names and says it again. One that
// is longer than any there can be is nobody's.
absl::Status CheckLength(std::string_view what, const std::string& name, size_t most) {
  if (name.size() <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(ToAbsl(what), " has ", name.size(), " bytes, ", most, " at most"));
}

absl::Status CheckZone(std::string_view zone) { return FindZone(zone).status(); }

// One without anything to submit only switches the one of its name on or off.
absl::Status CheckApplied(const v1::Schedule& schedule, ArtifactStore& store) {
  RETURN_IF_ERROR(CheckLength("schedule.name", schedule.name(), bounds::kScheduleNameMax));
  // What comes of it needs room for more beside it.
  if (const size_t bytes = schedule.ByteSizeLong(); IsFull(bytes)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("schedule ", EscapeControl(schedule.name()), " has ", bytes,
                     " bytes, 9/10 of ", kMessageBytesMax >> 20,
                     " MiB at most; make it smaller, such as by fewer jobs in its suite "
                     "or a smaller sweep, or make two of it"));
  }
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

// The newest first, as many as fit: who wants an older one asks for it by its id.
void AddSuites(const State& state, int limit, v1::ListSuitesReply& reply) {
  size_t bytes = 0;
  const auto& all = state.hard.suites;
  for (auto it = all.rbegin(); it != all.rend() && reply.suites_size() < limit; ++it) {
    v1::SuiteStatus status = ViewSuite(state, it->first);
    bytes += status.ByteSizeLong();
    if (reply.suites_size() > 0 && IsFull(bytes)) break;
    *reply.add_suites() = std::move(status);
  }
  reply.set_left_out(static_cast<uint32_t>(all.size() - static_cast<size_t>(reply.suites_size())));
}

// Without what it submits where that does not fit any more: that each is there matters most.
void AddSchedule(v1::ScheduleStatus status, size_t& bytes, v1::ListSchedulesReply& reply) {
  size_t size = status.ByteSizeLong();
  if (bytes + size > static_cast<size_t>(kMessageBytesMax) / 2) {
    status.mutable_schedule()->clear_what();
    size = status.ByteSizeLong();
  }
  if (IsFull(bytes + size)) return;
  bytes += size;
  *reply.add_schedules() = std::move(status);
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
      AddSchedule(ViewSchedule(state, id, now), bytes, *reply);
    }
    reply->set_left_out(static_cast<uint32_t>(state.hard.schedule_by_name.size() -
                                              static_cast<size_t>(reply->schedules_size())));
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
  if (status.ok()) status = CheckLength("name", request->name(), bounds::kScheduleNameMax);
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
  if (status.ok()) status = CheckLength("node", request->node(), bounds::kWordBytesMax);
  if (status.ok()) {
    rackmark::ChangeNode change{request->node(), request->change(), request->reason(),
                                std::nullopt};
    if (request->has_grace_ns()) change.grace = request->grace_ns();
    const auto then = [reactor, request, reply](const Outcome& outcome) {
      if (outcome.status.ok()) {
        const auto& altered = std::get<NodeAltered>(outcome.reply);
        reply->set_changed(altered.changed);
        if (outcome.state->hard.nodes.count(altered.node) != 0) {
          *reply->mutable_node() = ViewNode(*outcome.state, altered.node, outcome.now.monotonic);
        } else {  // forgotten: there is only its name
          reply->mutable_node()->set_node_id(altered.node.value);
          reply->mutable_node()->mutable_info()->set_name(request->node());
        }
      }
      reactor->Finish(ToGrpc(outcome.status));
    };
    status = options_.loop->Post({*principal, std::move(change)}, then);
  }
  if (!status.ok()) reactor->Finish(ToGrpc(status));
  return reactor;
}

}  // namespace rackmark
