// watch, why and cancel: what one does with a job that is somewhere else.
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/follow.h"
#include "cli/output_text.h"
#include "cli/support.h"
#include "cli/table.h"
#include "common/exit_codes.h"
#include "common/ids.h"
#include "common/text.h"

namespace rackmark::commands {
namespace {

int FailedCall(const absl::Status& status) { return Complain(status, ExitOfCall(status)); }

// The last line for people: what came of it, and where more is.
std::string EndText(const std::string& job, const v1::JobStatus& status) {
  return absl::StrCat("job ", job, ": ", EscapeControl(status.name()), " ended with ",
                      VerdictText(status.verdict()), "; see rackmark report ", job, "\n");
}

}  // namespace

int Watch(const CommandLine& line, StopSignal& stop) {
  const auto client = Connect(*line.coordinator, line,
                              [&stop](Nanos pause) { return !stop.Wait(pause).has_value(); });
  if (!client.ok()) return Complain(client.status(), ExitOfConnect(client.status()));
  const auto id = JobOf(line.words.front(), **client);
  if (!id.ok()) {
    return Complain(id.status(), stop.Wait(0) ? kExitCancelled : ExitOfCall(id.status()));
  }
  // The progress is what this command is for, so it goes to stdout; JSON lines leave that to them.
  const bool json = line.output == Output::kJson;
  Screen screen(json ? 2 : 1);
  FollowOptions options;
  options.job_id = *id;
  options.cancels = false;
  options.shows = !json;
  options.take = [json, &screen](const v1::WatchJobReply& reply) {
    return json ? Print(MessageLine(reply)) : screen.error() == 0;
  };
  Follower follower(**client, stop, screen, std::move(options));
  const auto exit = follower.Run();
  screen.Clear();
  if (!json && screen.error() != 0) OutputFailed(screen.error());
  if (exit) return *exit;
  if (!json) Print(EndText(DisplayJob((*client)->cluster_id(), JobId{*id}), follower.last().job()));
  return ExitOf(follower.verdict());
}

int Why(const CommandLine& line, CoordinatorClient& client) {
  const auto id = JobOf(line.words.front(), client);
  if (!id.ok()) return FailedCall(id.status());
  const auto reply = client.Why(*id, kCallPatience);
  if (!reply.ok()) return FailedCall(reply.status());
  Print(line.output == Output::kTable ? WhyText(*reply) : MessageText(*reply, line.output));
  return kExitPass;
}

int Cancel(const CommandLine& line, CoordinatorClient& client) {
  const auto id = JobOf(line.words.front(), client);
  if (!id.ok()) return FailedCall(id.status());
  const auto reply = client.Cancel(*id, line.reason, kCallPatience);
  if (!reply.ok()) return FailedCall(reply.status());
  if (line.output != Output::kTable) {
    Print(MessageText(*reply, line.output));
  } else {
    Print(absl::StrCat("job ", DisplayJob(client.cluster_id(), JobId{*id}),
                       reply->was_running() ? ": is being cancelled\n"
                                            : ": had ended already; nothing changed\n"));
  }
  return kExitPass;
}

}  // namespace rackmark::commands
