#include "cli/commands.h"

#include <cstdio>

#include "cli/command_table.h"
#include "cli/exit_status.h"
#include "cli/fleet_text.h"
#include "cli/output_text.h"
#include "cli/report_output.h"
#include "cli/support.h"
#include "cli/table.h"
#include "common/exit_codes.h"
#include "common/ids.h"
#include "common/version.h"
#include "rpc/identity.h"

namespace rackmark {
namespace {

template <typename Reply, typename Render>
int Show(const absl::StatusOr<Reply>& reply, const CommandLine& line, const Render& render) {
  if (!reply.ok()) return Complain(reply.status(), ExitOfCall(reply.status()));
  Print(line.output == Output::kTable ? render(*reply) : MessageText(*reply, line.output));
  return kExitPass;
}

int Call(RemoteHandler handler, const CommandLine& line) {
  const auto client = Connect(*line.coordinator, line, PausePlainly);
  if (!client.ok()) {
    return Complain(client.status(), ExitOfConnect(client.status()));
  }
  return handler(line, **client);
}

int CallLong(LongHandler handler, const CommandLine& line) {
  const auto stop = StopSignal::Install(std::nullopt);
  if (!stop.ok()) return Complain(stop.status(), kExitInternal);
  return handler(line, **stop);
}

}  // namespace

namespace commands {

int Submit(const CommandLine& line, CoordinatorClient& client) {
  TraceFiles traces;
  const auto document = LoadDocument(line, traces);
  if (!document.ok()) return Complain(document.status(), kExitBadSpec);
  if (std::holds_alternative<v1::Schedule>(*document)) return NotToRun(line);
  const absl::Status uploaded = traces.Upload(client, kCallPatience, [](const std::string& text) {
    std::fprintf(stderr, "%s\n", text.c_str());
  });
  if (!uploaded.ok()) return Complain(uploaded, ExitOfCall(uploaded));
  if (const auto* suite = std::get_if<v1::Suite>(&*document)) {
    return Show(client.SubmitSuite(*suite, RandomHex(16), kCallPatience), line,
                [](const v1::SubmitSuiteReply& reply) {
                  for (const std::string& note : reply.notes()) Warn(note);
                  return DisplaySuite(reply.identity().cluster_id(), reply.suite_id()) + "\n";
                });
  }
  return Show(client.Submit(std::get<v1::Job>(*document), RandomHex(16), kCallPatience), line,
              [](const v1::SubmitReply& reply) {
                if (!reply.note().empty()) Warn(reply.note());
                return DisplayJob(reply.identity().cluster_id(), JobId{reply.job_id()}) + "\n";
              });
}

int Nodes(const CommandLine& line, CoordinatorClient& client) {
  return Show(client.ListNodes(kCallPatience), line, NodesTable);
}

int Jobs(const CommandLine& line, CoordinatorClient& client) {
  return Show(client.ListJobs(LimitOf(line), kCallPatience), line, JobsTable);
}

int Runs(const CommandLine& line, CoordinatorClient& client) {
  const uint32_t limit = LimitOf(line);
  if (line.words.empty()) return Show(client.ListRuns(0, limit, kCallPatience), line, RunsTable);
  const auto id = JobOf(line.words.front(), client);
  if (!id.ok()) return Complain(id.status(), ExitOfCall(id.status()));
  return Show(client.ListRuns(*id, limit, kCallPatience), line, RunsTable);
}

int Report(const CommandLine& line, CoordinatorClient& client) {
  if (line.out) {
    if (const absl::Status status = CheckWritable(*line.out); !status.ok()) {
      return Complain(BadOut(status, "file"), kExitUsage);
    }
  }
  const auto id = JobOf(line.words.front(), client);
  if (!id.ok()) return Complain(id.status(), ExitOfCall(id.status()));
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

int PrintVersion(const CommandLine& line) {
  const std::string version(Version());
  const std::string commit(GitCommit());
  if (line.output == Output::kTable) {
    Print(absl::StrCat("rackmark ", version, commit.empty() ? "" : " ", commit, "\n"));
    return kExitPass;
  }
  v1::GetVersionReply reply;
  *reply.mutable_identity() = MakeIdentity("", 0, "");  // the protocol range is what it tells
  reply.set_version(version);
  reply.set_git_commit(commit);
  Print(MessageText(reply, line.output));
  return kExitPass;
}

int Help(const CommandLine& line) {
  const auto text = HelpText(line.words.empty() ? "" : line.words.front());
  if (!text.ok()) return Complain(text.status(), kExitUsage);
  Print(*text);
  return kExitPass;
}

}  // namespace commands

int RunCommand(const CommandLine& line) {
  const Command* command = FindCommand(line.command);
  RACKMARK_CHECK(command != nullptr);
  return std::visit(
      [&line](auto handler) {
        if constexpr (std::is_same_v<decltype(handler), RemoteHandler>) {
          return Call(handler, line);
        } else if constexpr (std::is_same_v<decltype(handler), LongHandler>) {
          return CallLong(handler, line);
        } else {
          return handler(line);
        }
      },
      command->handler);
}

}  // namespace rackmark
