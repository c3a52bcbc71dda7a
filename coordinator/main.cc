// rackmark-coordinator: opens the data folder, recovers State from its log, serves until told to
// stop. This file only puts the parts together, in the order in which they may be torn down.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "common/exit_codes.h"
#include "common/log.h"
#include "common/program.h"
#include "common/time.h"
#include "common/version.h"
#include "common/zone.h"
#include "coordinator/archive.h"
#include "coordinator/backup_command.h"
#include "coordinator/janitor.h"
#include "coordinator/led_stores.h"
#include "coordinator/live.h"
#include "coordinator/loop.h"
#include "coordinator/options.h"
#include "coordinator/reporter.h"
#include "coordinator/serve/artifact_desk.h"
#include "coordinator/serve/auth.h"
#include "coordinator/serve/client_service.h"
#include "coordinator/serve/ingest.h"
#include "coordinator/serve/standby.h"
#include "coordinator/serve/watch_hub.h"
#include "coordinator/serve/worker_service.h"
#include "coordinator/store/artifact_store.h"
#include "rpc/credentials.h"
#include "rpc/identity.h"
#include "rpc/limits.h"
#include "rpc/listener.h"

// For jemalloc, at its start: pages go back to the kernel in a thread of its own, not in whichever
// thread frees. The loop was seen 15 ms at it while a lost rack's news waited.
extern const char* malloc_conf;
const char* malloc_conf = "background_thread:true";

namespace rackmark {
namespace {

// Calls in flight end within it; the streams of workers are cut after it.
constexpr Nanos kShutdownGrace = 200 * kMillisecond;

struct Failed {
  int exit;
  absl::Status status;
};
using Step = std::optional<Failed>;

// What is on disk is unknown, or another leads: nothing more may be told to anybody (law 1).
void Fence(const absl::Status& status) {
  Log(LogLevel::kError, absl::StrCat("fenced itself: ", status.message()));
  _exit(kExitFenced);
}

Failed ListenFailed(const absl::Status& status) {
  return {absl::IsAlreadyExists(status) ? kExitInUse : kExitRefused, status};
}

v1::Timing TimingOf(const CoreConfig& config) {
  v1::Timing timing;
  timing.set_sync_interval_ns(config.sync_interval);
  timing.set_fence_ns(config.fence_after);
  return timing;
}

class Coordinator {
 public:
  Coordinator(CoordinatorOptions options, StopSignal* stop)
      : options_(std::move(options)),
        stop_(stop),
        listen_(options_.listen),
        ready_fd_(options_.ready_fd) {}

  Step Run() {
    if (Step failed = Open()) return failed;
    if (!stores_) return std::nullopt;  // told to stop while it stood by
    if (Step failed = Serve()) return failed;
    const auto cause = stop_->Wait(-1);
    Log(LogLevel::kInfo, absl::StrCat("stopping: ", cause.value_or("")));
    return std::nullopt;
  }

  // Calls first, while everything that they wait for still runs.
  ~Coordinator() {
    if (listener_) listener_->Shutdown(kShutdownGrace);
    if (hub_) hub_->Stop();
    if (archive_) archive_->Stop();
    if (desk_) desk_->Stop();
    if (janitor_) janitor_->Stop();
    if (reporter_) reporter_->Stop();
    if (ingest_) ingest_->Stop();
    if (loop_) loop_->Stop();
  }

 private:
  Step Open() {
    if (auto status = CheckListenSafety(options_.listen, options_.security); !status.ok()) {
      return Failed{kExitRefused, status};
    }
    auto policy = PeerPolicy::Create(options_.security);
    if (!policy.ok()) {
      const bool refused = absl::IsPermissionDenied(policy.status());
      return Failed{refused ? kExitRefused : kExitUsage, policy.status()};
    }
    policy_ = *std::move(policy);
    auto lock = FolderLock::Take(options_.data);
    if (!lock.ok()) {
      return Failed{absl::IsAlreadyExists(lock.status()) ? kExitInUse : kExitUsage, lock.status()};
    }
    lock_ = *std::move(lock);
    if (Step failed = OpenStores(); failed || !stores_) return failed;
    ArtifactStore::Options artifacts;
    artifacts.folder = options_.data + "/artifacts";
    artifacts.total_bytes_max = options_.artifact_bytes;
    artifacts.bytes_max = kArtifactBytesMax;
    auto kept = ArtifactStore::Open(artifacts);
    if (!kept.ok()) return Failed{kExitBadDatabase, kept.status()};
    artifacts_ = *std::move(kept);
    auto boot_id = BootId();
    if (!boot_id.ok()) return Failed{kExitInternal, boot_id.status()};
    auto incarnation = NewIncarnation();
    if (!incarnation.ok()) return Failed{kExitInternal, incarnation.status()};
    boot_id_ = *boot_id;
    Loop::Options loop;
    loop.config = options_.timing;
    loop.config.find_zone = FindZone;
    loop.events = stores_->events();
    loop.clock = &SystemClock();
    loop.inbox_max = kInboxCommandsMax;
    loop.snapshot_events = options_.storage.snapshot_events;
    loop.snapshot_bytes = options_.storage.snapshot_bytes;
    loop.fatal = Fence;
    loop.check_lead = [this] { return stores_->CheckLead(); };
    loop.doubted = [this](const absl::Status& why) { stores_->Doubted(why); };
    loop_ = std::make_unique<Loop>(std::move(loop));
    if (auto status = loop_->Recover(boot_id_, *incarnation); !status.ok()) {
      return Failed{LedStores::ExitOf(status, led_), Annotate(status, LogName())};
    }
    identity_ = MakeIdentity(loop_->cluster_id(), loop_->epoch(), *incarnation);
    return std::nullopt;
  }

  std::string LogName() const {
    return options_.postgres ? "the event log" : options_.data + "/events.db";
  }

  Step OpenStores() {
    LedStores::Options led;
    led.data = options_.data;
    led.postgres = options_.postgres;
    led.ttl = options_.leader_ttl;
    led.clock = &SystemClock();
    led.stopped_within = [this](Nanos wait) { return stop_->Wait(wait).has_value(); };
    led.lost = Fence;
    led.leads = [this] { led_ = true; };
    Step failed;
    led.stands_by = [this, &failed](const std::string& leader) {
      failed = StandBy(leader);
      return failed ? failed->status : absl::OkStatus();
    };
    auto stores = LedStores::Open(std::move(led));
    if (failed) return failed;
    if (!stores.ok()) return Failed{LedStores::ExitOf(stores.status(), led_), stores.status()};
    stores_ = *std::move(stores);
    return std::nullopt;
  }

  // Answers every caller where we will lead, as long as another does.
  Step StandBy(const std::string& leader) {
    if (!standby_) {
      auto standby = Standby::Start(listen_, options_.security, policy_);
      if (!standby.ok()) return ListenFailed(standby.status());
      standby_ = *std::move(standby);
      listen_ = *ParseEndpoint(standby_->address());  // the port that was chosen stays ours
      Log(LogLevel::kInfo, absl::StrCat("standing by at ", standby_->address()));
      if (Step failed = TellReady(standby_->address())) return failed;
    }
    standby_->Follow(leader);
    return std::nullopt;
  }

  Step Serve() {
    gate_ = std::make_unique<Gate>(policy_, loop_->cluster_id());
    MakeParts();
    loop_->Start();
    StartJanitor();
    Listener::Extras extras;
    if (options_.postgres) extras.before_answer = [this] { FenceIfOver(); };
    standby_.reset();  // its address is the leader's now
    auto listener = Listener::Start({workers_.get(), clients_.get()}, listen_, options_.security,
                                    std::move(extras));
    if (!listener.ok()) return ListenFailed(listener.status());
    listener_ = *std::move(listener);
    Log(LogLevel::kInfo, absl::StrCat("cluster ", loop_->cluster_id().substr(0, 8), ", epoch ",
                                      loop_->epoch(), ", serving ", listener_->address()));
    stores_->Announce(options_.advertise.value_or(listener_->address()));
    return TellReady(listener_->address());
  }

  // Also what was decided in time may be sent too late: the process may have been stopped since.
  void FenceIfOver() const {
    const absl::Status leads = stores_->CheckLead();
    if (!leads.ok()) Fence(leads);
  }

  void MakeParts() {
    archive_ = std::make_unique<Archive>(&stores_->events()->history(), kInboxCommandsMax);
    Reporter::Options reporting;
    reporting.loop = loop_.get();
    reporting.samples = stores_->samples();
    reporting.history = &stores_->events()->history();
    reporting.summarize = SummarizeWithReport;
    reporting.fatal = Fence;
    reporting.report_bytes_max = kMessageBytesMax - (64 << 10);
    reporter_ = std::make_unique<Reporter>(std::move(reporting));
    Ingest::Options ingest;
    ingest.store = stores_->samples();
    ingest.live = &live_;
    ingest.cluster_id = loop_->cluster_id();
    ingest.knows = [this](uint64_t run, uint32_t attempt) { return Knows(run, attempt); };
    ingest.nodes = [this](uint64_t run, uint32_t attempt) { return NodesOf(run, attempt); };
    ingest.ended = [this](const std::vector<StreamKey>& ended) { TellStored(ended); };
    ingest.fatal = Fence;
    ingest.bytes_max = kIngestBytesMax;
    ingest.run_bytes_max = kRunSampleBytesMax;
    ingest.stall_after = options_.timing.stall_after;
    ingest_ = std::make_unique<Ingest>(std::move(ingest));
    WatchHub::Options hub;
    hub.loop = loop_.get();
    hub.live = &live_;
    hub.archive = archive_.get();
    hub.identity = identity_;
    hub_ = std::make_unique<WatchHub>(std::move(hub));
    desk_ = std::make_unique<ArtifactDesk>(artifacts_.get());
    workers_ = std::make_unique<WorkerService>(WorkerService::Options{
        loop_.get(), ingest_.get(), gate_.get(), &SystemClock(), identity_, boot_id_,
        TimingOf(options_.timing), [this](const absl::Status& why) { stores_->Doubted(why); },
        desk_.get()});
    clients_ = std::make_unique<ClientService>(
        ClientService::Options{loop_.get(), reporter_.get(), hub_.get(), gate_.get(), identity_,
                               desk_.get(), archive_.get()});
    loop_->AddListener(workers_.get());
    loop_->AddListener(hub_.get());
    loop_->AddListener(reporter_.get());
  }

  // Once the loop runs, which its steps are items of.
  void StartJanitor() {
    Janitor::Options janitor;
    janitor.storage = options_.storage;
    janitor.loop = loop_.get();
    janitor.events = stores_->events();
    janitor.samples = stores_->samples();
    janitor.artifacts = artifacts_.get();
    janitor.clock = &SystemClock();
    janitor.fatal = Fence;
    janitor_ = std::make_unique<Janitor>(std::move(janitor));
  }

  absl::StatusOr<bool> Knows(uint64_t run, uint32_t attempt) {
    bool knows = false;
    RETURN_IF_ERROR(loop_->ReadAndWait([&](const State& state, Now) {
      const auto it = state.hard.runs.find(RunId{run});
      knows = it != state.hard.runs.end() && attempt <= it->second.attempt;
    }));
    if (knows) return true;
    // Late samples of a job that has ended are still its history, while such are kept.
    History& history = stores_->events()->history();
    ASSIGN_OR_RETURN(const auto ended, history.Run(run));
    if (!ended || attempt > ended->attempt()) return false;
    ASSIGN_OR_RETURN(const auto at, history.EndedAt(run));
    const auto& keep = options_.storage.samples_keep;
    return at.has_value() && (!keep || SystemClock().Unix() - *at <= *keep);
  }

  // Placements are kept of the last attempt, which is the one that is judged.
  absl::StatusOr<std::vector<std::string>> NodesOf(uint64_t run, uint32_t attempt) {
    bool open = false;
    v1::Placement placement;
    RETURN_IF_ERROR(loop_->ReadAndWait([&](const State& state, Now) {
      const auto it = state.hard.runs.find(RunId{run});
      open = it != state.hard.runs.end();
      if (open && attempt == it->second.attempt) placement = it->second.placement;
    }));
    if (!open) {
      ASSIGN_OR_RETURN(const auto ended, stores_->events()->history().Run(run));
      if (ended && ended->attempt() == attempt) placement = ended->placement();
    }
    std::vector<std::string> nodes(static_cast<size_t>(placement.ranks_size()));
    for (const v1::RankPlace& place : placement.ranks()) {
      if (place.rank() < nodes.size()) nodes[place.rank()] = place.node();
    }
    return nodes;
  }

  // With a full inbox the workers' Reports will say the same.
  void TellStored(const std::vector<StreamKey>& ended) {
    StreamsStored stored;
    for (const StreamKey& key : ended) {
      stored.streams.push_back({RunId{key.run}, key.attempt, key.kind, key.stream});
    }
    (void)loop_->Post({CorePrincipal(), std::move(stored)}, [](const Outcome&) {});
  }

  Step TellReady(const std::string& address) {
    if (!ready_fd_) return std::nullopt;
    const std::string line = address + "\n";
    const ssize_t wrote = write(*ready_fd_, line.data(), line.size());
    close(*ready_fd_);
    ready_fd_.reset();
    if (wrote == static_cast<ssize_t>(line.size())) return std::nullopt;
    return Failed{kExitError, absl::UnavailableError("nobody reads --ready-fd")};
  }

  const CoordinatorOptions options_;
  StopSignal* const stop_;
  Endpoint listen_;              // with the port that was chosen, once it was
  std::optional<int> ready_fd_;  // not written yet
  std::unique_ptr<FolderLock> lock_;
  std::shared_ptr<const PeerPolicy> policy_;
  std::unique_ptr<Standby> standby_;   // while another leads
  bool led_ = false;                   // took the lead, in PostgreSQL
  std::unique_ptr<LedStores> stores_;  // null: stood by, and told to stop
  std::unique_ptr<ArtifactStore> artifacts_;
  std::string boot_id_;
  v1::Identity identity_;
  LiveBoard live_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Archive> archive_;
  std::unique_ptr<Janitor> janitor_;
  std::unique_ptr<Reporter> reporter_;
  std::unique_ptr<Ingest> ingest_;
  std::unique_ptr<ArtifactDesk> desk_;
  std::unique_ptr<WatchHub> hub_;
  std::unique_ptr<WorkerService> workers_;
  std::unique_ptr<ClientService> clients_;
  std::unique_ptr<Listener> listener_;
};

int Main(int argc, char** argv) {
  ParsedOptions parsed = ParseCoordinatorOptions(argc, argv);
  if (parsed.exit) return *parsed.exit;
  InitLog("rackmark-coordinator", parsed.options.log_level);
  if (parsed.options.backup_to || parsed.options.restore_from) {
    return RunBackupCommand(parsed.options);
  }
  const uint64_t files = RaiseFileLimit();
  Log(LogLevel::kInfo, absl::StrCat("at most ", files, " open files; a worker needs two"));
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT: --ready-fd and sockets report EPIPE instead
  auto stop = StopSignal::Install(parsed.options.lifeline_fd);
  if (!stop.ok()) {
    Log(LogLevel::kError, FromAbsl(stop.status().message()));
    return kExitInternal;
  }
  Coordinator coordinator(std::move(parsed.options), stop->get());
  const Step failed = coordinator.Run();
  if (!failed) return kExitPass;
  Log(LogLevel::kError, FromAbsl(failed->status.message()));
  return failed->exit;
}

}  // namespace
}  // namespace rackmark

int main(int argc, char** argv) { return rackmark::Main(argc, argv); }
