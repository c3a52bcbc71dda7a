// run and local: a job's life as its user sees it.
#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/fleet_text.h"
#include "cli/follow.h"
#include "cli/local_cluster.h"
#include "cli/output_text.h"
#include "cli/report_output.h"
#include "cli/screen.h"
#include "cli/suite_follow.h"
#include "cli/support.h"
#include "common/exit_codes.h"
#include "common/ids.h"
#include "common/text.h"
#include "jobs/bounds.h"
#include "jobs/job_reader.h"

namespace rackmark {
namespace {

constexpr Nanos kWorkersPatience = 20 * kSecond;
constexpr Nanos kTurn = 100 * kMillisecond;

struct Session {
  const CommandLine& line;
  StopSignal& stop;
  Screen screen{2};
  std::unique_ptr<LocalCluster> cluster = nullptr;
  std::unique_ptr<CoordinatorClient> client = nullptr;
};

int Tell(Session& session, const absl::Status& status, int exit) {
  session.screen.Clear();
  return Complain(status, exit);
}

// A call that failed. If somebody pressed Ctrl-C meanwhile, that is why it was not repeated.
int TellCall(Session& session, const absl::Status& status) {
  return Tell(session, status, session.stop.Wait(0) ? kExitCancelled : ExitOfCall(status));
}

LocalOptions LocalOptionsOf(const CommandLine& line, uint32_t workers) {
  LocalOptions options;
  options.workers = workers;
  if (line.cpu_slots) options.cpu_slots = static_cast<uint32_t>(*line.cpu_slots);
  options.data = line.data.value_or(kDataDefault);
  return options;
}

// Missing = it runs; else what main should return.
std::optional<int> StartCluster(Session& session, LocalOptions options, uint32_t slots) {
  auto programs = ProgramFolder();
  if (!programs.ok()) return Complain(programs.status(), kExitInternal);
  options.programs = *std::move(programs);
  session.cluster = std::make_unique<LocalCluster>(
      std::move(options), slots, session.stop,
      [&session](const std::string& text) { session.screen.Say(text); });
  const auto failure = session.cluster->Start();
  if (!failure) return std::nullopt;
  const bool in_use = failure->exit_code == kExitInUse;
  const absl::Status told =
      in_use ? Annotate(failure->status, "--data names another folder for a second cluster")
             : failure->status;
  return Tell(session, told, failure->exit_code.value_or(kExitError));
}

// Placement must not depend on which worker joined first, so all of them are waited for.
std::optional<int> WaitForWorkers(Session& session) {
  const uint32_t wanted = session.cluster->options().workers;
  const Nanos deadline = SystemClock().Monotonic() + kWorkersPatience;
  while (true) {
    const auto nodes = session.client->ListNodes(kCallPatience);
    if (!nodes.ok()) return TellCall(session, nodes.status());
    uint32_t up = 0;
    for (const v1::NodeStatus& node : nodes->nodes()) {
      up += node.phase() == v1::NODE_PHASE_UP && node.has_silent_ns() ? 1U : 0U;
    }
    if (up >= wanted) return std::nullopt;
    if (const auto cause = session.stop.Wait(kTurn / 2)) {
      session.screen.Say(*cause + ": stopped before the job was submitted");
      return kExitCancelled;
    }
    if (const absl::Status status = session.cluster->Supervise(); !status.ok()) {
      return Tell(session, status, kExitError);
    }
    if (SystemClock().Monotonic() < deadline) continue;
    return Tell(session,
                absl::UnavailableError(absl::StrCat("only ", up, " of ", wanted,
                                                    " local workers joined; see the logs in ",
                                                    session.cluster->options().data, "/logs")),
                kExitError);
  }
}

// How a report that did not get here is had all the same: the coordinator keeps it.
std::string AskAgain(const Session& session, uint64_t job_id) {
  const std::string job = DisplayJob(session.client->cluster_id(), JobId{job_id});
  const std::string ask =
      absl::StrCat("rackmark report ", job, " --output html --out FILE --coordinator ");
  if (!session.cluster) {
    return absl::StrCat("; get the report again with ", ask, *session.line.coordinator);
  }
  if (session.line.keep) {
    return absl::StrCat("; get the report again with ", ask, session.cluster->endpoint());
  }
  return absl::StrCat("; get the report again: start rackmark local 1 --data ",
                      EscapeControl(session.cluster->options().data), ", then ", ask,
                      "ENDPOINT, which that prints");
}

// Shows the report, writes its files, and turns the verdict into the exit status.
int Finish(Session& session, uint64_t job_id, v1::Verdict verdict) {
  session.screen.Clear();
  const auto reply = session.client->GetReport(job_id, kCallPatience);
  if (!reply.ok()) {
    absl::Status status = Annotate(reply.status(), "the job ended, but its report did not come");
    status = absl::Status(status.code(), absl::StrCat(status.message(), AskAgain(session, job_id)));
    if (session.stop.Wait(0)) return Complain(status, kExitCancelled);
    return Complain(status, verdict == v1::VERDICT_PASS ? kExitInternal : ExitOf(verdict));
  }
  const v1::JobSummary& summary = reply->summary();
  Print(ReportText(summary, session.line.output));
  const std::string folder = session.line.out.value_or(
      absl::StrCat("rackmark-out/", DisplayJob(session.client->cluster_id(), JobId{job_id})));
  const auto files = WriteReport(summary, folder);
  if (!files.ok()) {
    return Complain(absl::Status(files.status().code(),
                                 absl::StrCat(files.status().message(), AskAgain(session, job_id))),
                    kExitError);
  }
  const std::string html = "report: " + EscapeControl(files->html);
  const std::string json = "        " + EscapeControl(files->json);
  if (session.line.output == Output::kTable) {
    Print(absl::StrCat("\n", html, "\n", json, "\n"));
  } else {
    session.screen.Say(html);  // stdout is one document
    session.screen.Say(json);
  }
  return ExitOf(summary.verdict());
}

// Before the job is submitted: its report must have a place. The default one is named by the job,
// in a folder that can be looked at now.
std::optional<int> CheckOut(Session& session) {
  const absl::Status status = CheckReportFolder(session.line.out.value_or("rackmark-out"));
  if (status.ok()) return std::nullopt;
  return Tell(session, BadOut(status, "folder"), kExitUsage);
}

// What is wrong with a job's gang, at its place where that is in the file itself.
absl::Status AtGang(const v1::Job& job, const CommandLine& line, const absl::Status& problem) {
  const std::string& file = line.words.front();
  if (!job.has_part()) return AtSpecField(job, file, "gang", problem);
  return Annotate(problem, absl::StrCat(EscapeControl(file), ": part ", job.part().name()));
}

// CPU slots of each local worker with which every job's gang fits.
absl::StatusOr<uint32_t> SlotsForAll(const Document& document, const CommandLine& line,
                                     const LocalOptions& options) {
  uint32_t most = 0;
  for (const v1::Job* job : JobsOf(document)) {
    const auto slots = SlotsFor(job->spec().gang(), options);
    if (!slots.ok()) return AtGang(*job, line, slots.status());
    most = std::max(most, *slots);
  }
  return most;
}

// A gang that cannot be placed would wait for ever with its user; submit is for those who want
// that.
std::optional<int> CheckGangs(Session& session, const Document& document) {
  const auto nodes = session.client->ListNodes(kCallPatience);
  if (!nodes.ok()) return TellCall(session, nodes.status());
  for (const v1::Job* job : JobsOf(document)) {
    const v1::Gang& gang = job->spec().gang();
    // A local cluster was made for it (SlotsFor).
    absl::Status fits = session.cluster ? absl::OkStatus() : CheckFits(gang, *nodes);
    // Of a suite, parts before it may be what puts nodes there.
    if (fits.ok() && !job->has_part()) fits = CheckQuarantine(gang, *nodes);
    if (!fits.ok()) return Tell(session, AtGang(*job, session.line, fits), kExitImpossible);
  }
  return std::nullopt;
}

// What a submission got.
struct Booked {
  uint64_t first_job;
  uint32_t jobs;
};

// The coordinator knows no nodes that a gang would fit. There others may join; a local cluster
// stays as it is, and the jobs would wait for ever. Missing = go on.
std::optional<int> HeedNote(Session& session, const Booked& booked, const absl::Status& note) {
  if (!session.cluster) {
    session.screen.Say(absl::StrCat("warning: ", note.message()));
    return std::nullopt;
  }
  for (uint32_t i = 0; i < booked.jobs; ++i) {
    const auto cancelled = session.client->Cancel(
        booked.first_job + i, "its gang fits no nodes of this local cluster", kCallPatience);
    if (!cancelled.ok()) return TellCall(session, cancelled.status());
  }
  return Tell(
      session,
      absl::Status(note.code(), absl::StrCat(note.message(),
                                             ", and none joins a local cluster, so that it is "
                                             "cancelled; change the gang, or use --coordinator")),
      kExitImpossible);
}

int SubmitAndFollow(Session& session, const v1::Job& job) {
  const auto submitted = session.client->Submit(job, RandomHex(16), kCallPatience);
  if (!submitted.ok()) return TellCall(session, submitted.status());
  const uint64_t job_id = submitted->job_id();
  session.screen.Say(absl::StrCat("job ", DisplayJob(session.client->cluster_id(), JobId{job_id}),
                                  ": ", job.name(), ", ", job.spec().runs_size(),
                                  job.spec().runs_size() == 1 ? " run on " : " runs on ",
                                  job.spec().gang().devices(), " devices"));
  if (!submitted->note().empty()) {
    const absl::Status note = AtGang(job, session.line, absl::OutOfRangeError(submitted->note()));
    if (const auto exit = HeedNote(session, {job_id, 1}, note)) return *exit;
  }
  if (std::any_of(job.spec().runs().begin(), job.spec().runs().end(),
                  [](const v1::RunSpec& run) { return run.serve().load().has_auto_(); })) {
    session.screen.Calibrates();
  }
  FollowOptions options;
  options.job_id = job_id;
  if (session.cluster) {
    options.supervise = [&session] { return session.cluster->Supervise(); };
    options.hurry = [&session] { session.cluster->Hurry(); };
  }
  Follower follower(*session.client, session.stop, session.screen, std::move(options));
  if (const auto exit = follower.Run()) return *exit;
  const int exit = Finish(session, job_id, follower.verdict());
  return follower.cancelled() ? kExitCancelled : exit;
}

// The reports of its jobs, each in a folder of its part. One that does not come is named, and does
// not take the others with it.
void WritePartReports(Session& session, const v1::SuiteStatus& suite, const std::string& folder) {
  for (const v1::JobStatus& job : suite.jobs()) {
    if (!IsJobName(job.part(), bounds::kNameMax)) {  // it would become a folder's name
      session.screen.Say(absl::StrCat("no report of job ", job.job_id(), ": \"",
                                      EscapeControl(job.part().substr(0, bounds::kNameMax)),
                                      "\" is no name of a part"));
      continue;
    }
    const auto reply = session.client->GetReport(job.job_id(), kCallPatience);
    absl::Status status = reply.status();
    const std::string place = absl::StrCat(folder, "/", job.part());
    if (status.ok()) status = WriteReport(reply->summary(), place).status();
    session.screen.Say(status.ok()
                           ? absl::StrCat("report: ", place, "/report.html")
                           : absl::StrCat("no report of part ", job.part(), ": ", status.message(),
                                          AskAgain(session, job.job_id())));
  }
}

int SubmitAndFollowSuite(Session& session, const v1::Suite& suite) {
  const auto submitted = session.client->SubmitSuite(suite, RandomHex(16), kCallPatience);
  if (!submitted.ok()) return TellCall(session, submitted.status());
  const std::string cluster = session.client->cluster_id();
  const std::string name = DisplaySuite(cluster, submitted->suite_id());
  session.screen.Say(absl::StrCat("suite ", name, ": ", suite.name(), ", ", submitted->jobs(),
                                  submitted->jobs() == 1 ? " job" : " jobs"));
  for (const std::string& text : submitted->notes()) {
    const absl::Status note =
        absl::OutOfRangeError(absl::StrCat(session.line.words.front(), ": part ", text));
    const Booked booked = {submitted->first_job_id(), submitted->jobs()};
    if (const auto exit = HeedNote(session, booked, note)) return *exit;
  }
  SuiteFollowOptions options;
  options.suite_id = submitted->suite_id();
  if (session.cluster) {
    options.supervise = [&session] { return session.cluster->Supervise(); };
    options.hurry = [&session] { session.cluster->Hurry(); };
  }
  SuiteFollower follower(*session.client, session.stop, session.screen, std::move(options));
  if (const auto exit = follower.Run()) return *exit;
  session.screen.Clear();
  Print(session.line.output == Output::kTable ? SuiteText(cluster, follower.last())
                                              : MessageText(follower.last(), session.line.output));
  WritePartReports(session, follower.last(),
                   session.line.out.value_or(absl::StrCat("rackmark-out/", name)));
  return follower.cancelled() ? kExitCancelled : ExitOf(follower.last().outcome());
}

// What cannot be run, or not be printed as asked. Missing = it can.
std::optional<int> CheckKind(const Document& document, const CommandLine& line) {
  if (std::holds_alternative<v1::Schedule>(document)) return NotToRun(line);
  const bool plain =
      line.output == Output::kTable || line.output == Output::kJson || line.output == Output::kYaml;
  if (plain || std::holds_alternative<v1::Job>(document)) return std::nullopt;
  return Complain(
      absl::InvalidArgumentError(absl::StrCat(
          "--output ", line.output_word, " is of one job's report; of a ",
          "suite write table, json or yaml, and find the reports of its ", "jobs in --out")),
      kExitUsage);
}

// Keeps a cluster alive until somebody ends it.
int Stay(Session& session) {
  while (!session.stop.Wait(kTurn)) {
    if (const absl::Status status = session.cluster->Supervise(); !status.ok()) {
      return Tell(session, status, kExitError);
    }
  }
  return kExitPass;
}

}  // namespace

int RunFile(const CommandLine& line, StopSignal& stop) {
  TraceFiles traces;
  const auto document = LoadDocument(line, traces);
  if (!document.ok()) return Complain(document.status(), kExitBadSpec);
  if (const auto exit = CheckKind(*document, line)) return *exit;
  Session session{line, stop};
  std::string endpoint = line.coordinator.value_or("");
  if (line.local) {
    const LocalOptions options = LocalOptionsOf(line, static_cast<uint32_t>(*line.local));
    const auto slots = SlotsForAll(*document, line, options);
    if (!slots.ok()) return Complain(slots.status(), kExitImpossible);
    if (const auto exit = StartCluster(session, options, *slots)) return *exit;
    endpoint = session.cluster->endpoint();
  }
  auto client =
      Connect(endpoint, line, [&stop](Nanos duration) { return !stop.Wait(duration).has_value(); });
  if (!client.ok()) {
    return Complain(client.status(), ExitOfConnect(client.status()));
  }
  session.client = *std::move(client);
  if (line.local) {
    if (const auto exit = WaitForWorkers(session)) return *exit;
  }
  if (const auto exit = CheckGangs(session, *document)) return *exit;
  if (const auto exit = CheckOut(session)) return *exit;
  const absl::Status uploaded =
      traces.Upload(*session.client, kCallPatience,
                    [&session](const std::string& text) { session.screen.Say(text); });
  if (!uploaded.ok()) return TellCall(session, uploaded);
  const auto* suite = std::get_if<v1::Suite>(&*document);
  const int exit = suite != nullptr ? SubmitAndFollowSuite(session, *suite)
                                    : SubmitAndFollow(session, std::get<v1::Job>(*document));
  if (line.keep && exit != kExitCancelled) {
    session.screen.Say(absl::StrCat("the cluster stays at ", endpoint, " until Ctrl-C"));
    Stay(session);
  }
  return exit;
}

int RunLocal(const CommandLine& line, StopSignal& stop) {
  int64_t workers = 0;
  const std::string& word = line.words.front();
  if (word.empty() || word.size() > 2 || word.find_first_not_of("0123456789") != word.npos ||
      (workers = std::stoi(word)) < 1 || workers > kLocalWorkersMax) {
    return Complain(absl::InvalidArgumentError(
                        absl::StrCat("local takes a number of workers, 1 to ", kLocalWorkersMax)),
                    kExitUsage);
  }
  Session session{line, stop};
  LocalOptions options = LocalOptionsOf(line, static_cast<uint32_t>(workers));
  const uint32_t cpus = std::max(1U, std::thread::hardware_concurrency());
  const uint32_t slots =
      options.cpu_slots.value_or(std::max<uint32_t>(1, cpus / static_cast<uint32_t>(workers)));
  if (const auto exit = StartCluster(session, options, slots)) return *exit;
  const std::string& endpoint = session.cluster->endpoint();
  if (line.output == Output::kJson) {
    if (!Print(absl::StrCat("{\"endpoint\": \"", endpoint, "\"}\n"))) return kExitError;
  } else {
    if (!Print(absl::StrCat(endpoint, "\n"))) return kExitError;
    session.screen.Say(absl::StrCat("a coordinator and ", workers,
                                    " workers run until Ctrl-C; try ",
                                    "rackmark run FILE --coordinator ", endpoint));
  }
  return Stay(session);
}

}  // namespace rackmark
