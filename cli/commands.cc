#include "cli/commands.h"

#include <poll.h>

#include <fstream>

#include "cli/exit_status.h"
#include "cli/report_output.h"
#include "cli/support.h"
#include "cli/table.h"
#include "common/exit_codes.h"
#include "common/ids.h"
#include "common/version.h"
#include "report/render.h"
#include "rpc/identity.h"

namespace rackmark {
namespace {

template <typename Reply, typename Render>
int Show(const absl::StatusOr<Reply>& reply, const CommandLine& line, const Render& render) {
  if (!reply.ok()) return Complain(reply.status(), ExitOfCall(reply.status()));
  Print(line.output == Output::kJson ? MessageJson(*reply) : render(*reply));
  return kExitPass;
}

int Submit(const CommandLine& line, CoordinatorClient& client) {
  const auto job = LoadJob(line);
  if (!job.ok()) return Complain(job.status(), kExitBadSpec);
  return Show(client.Submit(*job, RandomHex(16), kCallPatience), line,
              [](const v1::SubmitReply& reply) {
                return DisplayJob(reply.identity().cluster_id(), JobId{reply.job_id()}) + "\n";
              });
}

int Runs(const CommandLine& line, CoordinatorClient& client) {
  uint64_t job_id = 0;  // all
  if (!line.words.empty()) {
    if (const auto met = client.GetVersion(kCallPatience); !met.ok()) {
      return Complain(met.status(), ExitOfCall(met.status()));
    }
    const auto id = ParseJobName(line.words.front(), client.cluster_id());
    if (!id.ok()) return Complain(id.status(), kExitUsage);
    job_id = *id;
  }
  return Show(client.ListRuns(job_id, kCallPatience), line, RunsTable);
}

int Report(const CommandLine& line, CoordinatorClient& client) {
  if (const auto met = client.GetVersion(kCallPatience); !met.ok()) {
    return Complain(met.status(), ExitOfCall(met.status()));
  }
  const auto id = ParseJobName(line.words.front(), client.cluster_id());
  if (!id.ok()) return Complain(id.status(), kExitUsage);
  const auto reply = client.GetReport(*id, kCallPatience);
  if (!reply.ok()) return Complain(reply.status(), ExitOfCall(reply.status()));
  const std::string text = ReportText(reply->summary(), line.output);
  if (!line.out) {
    Print(text);
  } else if (const absl::Status status = WriteFile(*line.out, text); !status.ok()) {
    return Complain(status, kExitError);
  }
  return ExitOf(reply->summary().verdict());
}

int Version(const CommandLine& line) {
  const std::string version(rackmark::Version());
  const std::string commit(GitCommit());
  if (line.output == Output::kJson) {
    v1::GetVersionReply reply;
    *reply.mutable_identity() = MakeIdentity("", 0, "");  // the protocol range is what it tells
    reply.set_version(version);
    reply.set_git_commit(commit);
    Print(MessageJson(reply));
  } else {
    Print(absl::StrCat("rackmark ", version, commit.empty() ? "" : " ", commit, "\n"));
  }
  return kExitPass;
}

// These commands have no StopSignal: a signal ends the process by its default, here as elsewhere.
bool PausePlainly(Nanos duration) {
  poll(nullptr, 0, static_cast<int>(duration / kMillisecond));
  return true;
}

int Remote(const CommandLine& line) {
  const auto client = Connect(*line.coordinator, line, PausePlainly);
  if (!client.ok()) {
    return Complain(client.status(), absl::IsInvalidArgument(client.status())
                                         ? kExitUsage
                                         : ExitOfCall(client.status()));
  }
  CoordinatorClient& c = **client;
  if (line.command == "submit") return Submit(line, c);
  if (line.command == "nodes") return Show(c.ListNodes(kCallPatience), line, NodesTable);
  if (line.command == "jobs") return Show(c.ListJobs(kCallPatience), line, JobsTable);
  if (line.command == "runs") return Runs(line, c);
  RACKMARK_CHECK(line.command == "report");
  return Report(line, c);
}

}  // namespace

int RunCommand(const CommandLine& line, StopSignal* stop) {
  if (line.command == "help") {
    Print(HelpText(line.words.empty() ? "" : line.words.front()));
    return kExitPass;
  }
  if (line.command == "version") return Version(line);
  if (line.command == "run") return RunJob(line, *stop);
  if (line.command == "local") return RunLocal(line, *stop);
  return Remote(line);
}

}  // namespace rackmark
