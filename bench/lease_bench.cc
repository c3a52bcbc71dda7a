// How long a user waits for the orchestrator: from Submit to all ranks inside of a null run (cold
// start: new lease, new processes), and inside of a lease from the last rank's last step of run k
// to the last rank's first step of run k+1. Real processes: a coordinator and two workers, one rank
// each, on one machine, so that all stamps are of one CLOCK_MONOTONIC.
//
//   lease_bench [--data FOLDER] [--cold 40] [--runs 60] [--programs FOLDER]
//
// The data lies on the disk that the coordinator syncs to; the figures depend on it. With the
// programs of another build, two builds can be measured by turns.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/timeline.h"
#include "cli/coordinator_client.h"
#include "cli/local_cluster.h"
#include "common/exit_codes.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/program.h"
#include "rpc/coordinators.h"

namespace rackmark {
namespace {

constexpr Nanos kPatience = 60 * kSecond;
constexpr uint32_t kNodes = 2;
constexpr Nanos kWindow = 100 * kMillisecond;  // the shortest that a job may ask for

v1::Job NullJob(int runs, Nanos duration) {
  v1::Job job;
  job.set_name("bench");
  v1::Gang* gang = job.mutable_spec()->mutable_gang();
  gang->set_devices(kNodes);
  gang->set_per_node(1);
  gang->set_kind(v1::DEVICE_KIND_CPU);
  v1::Limits* limits = job.mutable_spec()->mutable_limits();
  for (const auto set : {&v1::Limits::set_setup_ns, &v1::Limits::set_prepare_ns,
                         &v1::Limits::set_measure_ns, &v1::Limits::set_drain_ns}) {
    (limits->*set)(60 * kSecond);
  }
  limits->set_attempts(1);
  for (int i = 0; i < runs; ++i) {
    v1::RunSpec* run = job.mutable_spec()->add_runs();
    run->set_repetition(static_cast<uint32_t>(i));
    run->mutable_null()->set_duration_ns(duration);
    run->mutable_null()->set_samples_per_step(1);
  }
  return job;
}

class Bench {
 public:
  Bench(LocalCluster& cluster, CoordinatorClient& client) : cluster_(cluster), client_(client) {}

  // Both nodes are known and free.
  absl::Status AwaitNodes() {
    while (true) {
      ASSIGN_OR_RETURN(const auto nodes, client_.ListNodes(kPatience));
      uint32_t free = 0;
      for (const auto& node : nodes.nodes()) {
        free += node.phase() == v1::NODE_PHASE_UP && node.devices(0).lease_id() == 0;
      }
      if (free == kNodes) return cluster_.Supervise();
      usleep(20'000);
    }
  }

  // Missing: it ended other than PASS.
  absl::StatusOr<uint64_t> Run(const v1::Job& job, Nanos* replied) {
    ASSIGN_OR_RETURN(const auto submitted, client_.Submit(job, RandomHex(8), kPatience));
    *replied = SystemClock().Monotonic();
    grpc::ClientContext context;
    v1::WatchJobRequest request;
    *request.mutable_identity() = client_.identity();
    request.set_job_id(submitted.job_id());
    v1::ClientService::Stub stub(client_.coordinators().Ask().channel);
    auto stream = stub.WatchJob(&context, request);
    v1::WatchJobReply reply, last;
    while (stream->Read(&reply)) last = reply;
    (void)stream->Finish();
    if (last.job().verdict() == v1::VERDICT_PASS) return submitted.job_id();
    return absl::InternalError(absl::StrCat("job ", submitted.job_id(), " did not pass; see ",
                                            cluster_.options().data, "/logs"));
  }

 private:
  LocalCluster& cluster_;
  CoordinatorClient& client_;
};

struct Submission {
  Nanos sent, replied;
};

using Submissions = std::map<uint64_t, Submission>;

void PrintCold(const Timeline& timeline, const Submissions& cold) {
  std::map<std::string, std::vector<Nanos>> spans;
  for (const auto& [run, times] : timeline.runs) {
    const auto submission = cold.find(times.job);
    if (submission == cold.end() || times.ranks != kNodes) continue;
    const JobTimes& job = timeline.jobs.at(times.job);
    const Nanos sent = submission->second.sent;
    spans["0 Submit sent -> all ranks inside the run"].push_back(times.all_began - sent);
    spans["1 Submit sent -> reply"].push_back(submission->second.replied - sent);
    spans["2 Submit sent -> placed (decided)"].push_back(*job.placed - sent);
    spans["3 placed -> all cards (fork, exec, card)"].push_back(*job.go - *job.placed);
    spans["4 all cards -> all met"].push_back(*job.active - *job.go);
    spans["5 all met -> all prepared (told)"].push_back(*job.measuring - *job.active);
    spans["6   of it until the last rank had prepared"].push_back(times.prepared - *job.active);
    spans["7 all prepared -> all ranks inside"].push_back(times.all_began - *job.measuring);
  }
  std::printf("cold start, %u nodes, 1 rank each\n", kNodes);
  for (const auto& [name, values] : spans) {
    std::printf("  %-46s %s\n", name.c_str() + 2, Spread(values).c_str());
  }
}

void PrintLease(const Timeline& timeline, uint64_t job) {
  std::vector<Nanos> gaps, prepared, measured;
  const RunTimes* before = nullptr;
  for (const auto& [run, times] : timeline.runs) {
    if (times.job != job || times.ranks != kNodes) continue;
    if (before != nullptr) {
      gaps.push_back(times.all_began - before->all_ended);
      prepared.push_back(times.prepared - before->all_ended);
      measured.push_back(times.all_began - times.prepared);
    }
    before = &times;
  }
  std::printf("in a lease, run k to run k+1\n");
  std::printf("  %-44s %s\n", "last step of k -> all inside k+1", Spread(gaps).c_str());
  std::printf("  %-44s %s\n", "  last step of k -> all prepared k+1", Spread(prepared).c_str());
  std::printf("  %-44s %s\n", "  all prepared -> all inside k+1", Spread(measured).c_str());
}

absl::Status Measure(const LocalOptions& options, int64_t colds, int64_t runs, StopSignal& stop) {
  Submissions cold;
  uint64_t lease_job = 0;
  const Nanos offset = SystemClock().Unix() - SystemClock().Monotonic();
  {
    LocalCluster cluster(options, 1, stop,
                         [](const std::string& line) { std::puts(line.c_str()); });
    if (const auto failed = cluster.Start()) return failed->status;
    ASSIGN_OR_RETURN(auto endpoints, ParseEndpoints(cluster.endpoint()));
    ASSIGN_OR_RETURN(auto coordinators, Coordinators::Create(std::move(endpoints), {}));
    CoordinatorClient client(std::move(coordinators), "bench/1", [](Nanos wait) {
      usleep(static_cast<useconds_t>(wait / 1000));
      return true;
    });
    Bench bench(cluster, client);
    for (int64_t i = 0; i < colds; ++i) {
      RETURN_IF_ERROR(bench.AwaitNodes());
      Submission submission{SystemClock().Monotonic(), 0};
      ASSIGN_OR_RETURN(const uint64_t job, bench.Run(NullJob(1, kWindow), &submission.replied));
      cold[job] = submission;
    }
    RETURN_IF_ERROR(bench.AwaitNodes());
    Nanos replied = 0;
    ASSIGN_OR_RETURN(lease_job, bench.Run(NullJob(static_cast<int>(runs), kWindow), &replied));
    cluster.Stop();
  }
  ASSIGN_OR_RETURN(const Timeline timeline, ReadTimeline(options.data, offset));
  PrintCold(timeline, cold);
  PrintLease(timeline, lease_job);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  std::string data, programs;
  int64_t cold = 40, runs = 60;
  Flags flags("lease_bench", "[flags]", "Times cold starts, and runs that follow in one lease.");
  flags.Add("data", &data, "folder of the databases; default: a new one in the current folder");
  flags.Add("programs", &programs, "folder of the programs; default: that of this one");
  flags.Add("cold", &cold, "cold starts (40)", 1, 10'000);
  flags.Add("runs", &runs, "runs in one lease (60)", 2, 10'000);
  if (const auto code = flags.ParseMain(argc, argv)) return *code;
  InitLog("lease_bench", LogLevel::kWarning);
  auto stop = StopSignal::Install(std::nullopt);
  const auto folder = ProgramFolder();
  if (!stop.ok() || !folder.ok()) return kExitInternal;
  std::string own = "lease-bench-XXXXXX";
  if (data.empty()) {
    if (mkdtemp(own.data()) == nullptr) return kExitError;
    data = own;
  }
  LocalOptions options;
  options.workers = kNodes;
  options.cpu_slots = 1;
  options.data = data;
  options.programs = programs.empty() ? *folder : programs;
  const absl::Status status = Measure(options, cold, runs, **stop);
  if (data == own) std::filesystem::remove_all(own);
  if (status.ok()) return kExitPass;
  std::fprintf(stderr, "lease_bench: %s\n", std::string(status.message()).c_str());
  return kExitError;
}

}  // namespace
}  // namespace rackmark

int main(int argc, char** argv) { return rackmark::Main(argc, argv); }
