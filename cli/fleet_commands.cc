// suites, schedule, and what people say of nodes.
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/fleet_text.h"
#include "cli/output_text.h"
#include "cli/support.h"
#include "common/exit_codes.h"
#include "common/text.h"
#include "jobs/units.h"

namespace rackmark::commands {
namespace {

int FailedCall(const absl::Status& status) { return Complain(status, ExitOfCall(status)); }

template <typename Reply, typename Render>
int Show(const absl::StatusOr<Reply>& reply, const CommandLine& line, const Render& render) {
  if (!reply.ok()) return FailedCall(reply.status());
  Print(line.output == Output::kTable ? render(*reply) : MessageText(*reply, line.output));
  return kExitPass;
}

// The same of a call that hands over no file.
template <typename Reply, typename Render>
int ShowOfWords(const absl::StatusOr<Reply>& reply, const CommandLine& line, const Render& render) {
  if (!reply.ok()) return Complain(reply.status(), ExitOfWords(reply.status()));
  return Show(reply, line, render);
}

int Usage(std::string_view sentence) {
  return Complain(absl::InvalidArgumentError(ToAbsl(sentence)), kExitUsage);
}

int SetSchedule(const CommandLine& line, CoordinatorClient& client) {
  TraceFiles traces;
  const auto document = LoadDocument(line, traces);
  if (!document.ok()) return Complain(document.status(), kExitBadSpec);
  const auto* schedule = std::get_if<v1::Schedule>(&*document);
  if (schedule == nullptr) {
    const std::string file = EscapeControl(line.words.front());
    return Complain(
        absl::InvalidArgumentError(absl::StrCat(
            file, ": kind: is no schedule; write one with jobTemplate: or suiteTemplate: ", file,
            ", or run it with rackmark run ", file)),
        kExitBadSpec);
  }
  const absl::Status uploaded = traces.Upload(client, kCallPatience, [](const std::string& text) {
    std::fprintf(stderr, "%s\n", text.c_str());
  });
  if (!uploaded.ok()) return FailedCall(uploaded);
  return Show(client.ApplySchedule(*schedule, kCallPatience), line, ScheduleText);
}

// The one of this name rests, or goes on; all else of it stays.
int Switch(const CommandLine& line, CoordinatorClient& client, bool suspend) {
  v1::Schedule schedule;
  schedule.set_name(line.words[1]);
  schedule.set_suspend(suspend);
  return ShowOfWords(client.ApplySchedule(schedule, kCallPatience), line, ScheduleText);
}

int Remove(const CommandLine& line, CoordinatorClient& client) {
  return ShowOfWords(client.RemoveSchedule(line.words[1], kCallPatience), line,
                     [&line](const v1::RemoveScheduleReply&) {
                       return absl::StrCat("schedule ", EscapeControl(line.words[1]),
                                           " is removed; what it has begun goes on\n");
                     });
}

int Change(const CommandLine& line, CoordinatorClient& client, v1::NodeChange change) {
  v1::ChangeNodeRequest request;
  request.set_node(line.words.front());
  request.set_change(change);
  request.set_reason(line.reason);
  if (!line.grace.empty()) {
    const auto grace = units::ParseDuration(line.grace);
    if (!grace.ok()) return Usage(absl::StrCat("--grace ", grace.status().message()));
    request.set_grace_ns(*grace);
  }
  const auto text = change == v1::NODE_CHANGE_FORGET ? ForgottenText : NodeChangeText;
  return ShowOfWords(client.ChangeNode(request, kCallPatience), line, text);
}

}  // namespace

int Suites(const CommandLine& line, CoordinatorClient& client) {
  if (line.words.empty()) {
    return Show(client.ListSuites(0, LimitOf(line), kCallPatience), line, SuitesTable);
  }
  if (line.limit) return Usage("--limit means nothing for one SUITE; remove it");
  const auto id = SuiteOf(line.words.front(), client);
  if (!id.ok()) return FailedCall(id.status());
  const auto suites = client.ListSuites(*id, 0, kCallPatience);
  if (suites.ok() && suites->suites_size() != 1) {
    return FailedCall(
        absl::InternalError("the coordinator answered without the suite that it was asked for; "
                            "look at its log"));
  }
  return Show(suites, line, [](const v1::ListSuitesReply& reply) {
    return SuiteText(reply.identity().cluster_id(), reply.suites(0));
  });
}

int Schedule(const CommandLine& line, CoordinatorClient& client) {
  const std::string& verb = line.words.front();
  const bool named = verb == "remove" || verb == "suspend" || verb == "resume";
  if (!named && verb != "list" && line.words.size() == 1) return SetSchedule(line, client);
  if (line.words.size() != (named ? 2U : 1U)) {
    return Usage(named ? absl::StrCat("rackmark schedule ", verb, " takes the name of a schedule")
                       : "rackmark schedule takes FILE, list, or one of remove, suspend and resume "
                         "with a NAME");
  }
  if (!line.sets.empty()) return Usage("--set means nothing without a FILE; remove it");
  if (verb == "list") return Show(client.ListSchedules(kCallPatience), line, SchedulesTable);
  return verb == "remove" ? Remove(line, client) : Switch(line, client, verb == "suspend");
}

int Cordon(const CommandLine& line, CoordinatorClient& client) {
  return Change(line, client, v1::NODE_CHANGE_CORDON);
}
int Drain(const CommandLine& line, CoordinatorClient& client) {
  return Change(line, client, v1::NODE_CHANGE_DRAIN);
}
int Uncordon(const CommandLine& line, CoordinatorClient& client) {
  return Change(line, client, v1::NODE_CHANGE_UNCORDON);
}
int Quarantine(const CommandLine& line, CoordinatorClient& client) {
  return Change(line, client, v1::NODE_CHANGE_QUARANTINE);
}
int Readmit(const CommandLine& line, CoordinatorClient& client) {
  return Change(line, client, v1::NODE_CHANGE_READMIT);
}
int Forget(const CommandLine& line, CoordinatorClient& client) {
  return Change(line, client, v1::NODE_CHANGE_FORGET);
}

}  // namespace rackmark::commands
