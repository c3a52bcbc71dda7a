#include "worker/daemon/daemon.h"

#include <poll.h>

#include <algorithm>
#include <climits>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/random.h"
#include "common/text.h"
#include "rpc/identity.h"
#include "rpc/not_leader.h"
#include "samples/chunk_codec.h"
#include "worker/daemon/artifact_cache.h"
#include "worker/daemon/artifact_fetcher.h"
#include "worker/daemon/inbox.h"
#include "worker/daemon/leftovers.h"
#include "worker/daemon/ranks.h"
#include "worker/daemon/reconcile.h"
#include "worker/daemon/report_builder.h"
#include "worker/daemon/run_streams.h"
#include "worker/daemon/sample_streams.h"
#include "worker/daemon/spool.h"
#include "worker/daemon/sync_client.h"
#include "worker/daemon/uplink.h"
#include "worker/device/telemetry.h"

namespace rackmark {
namespace {

// A change is told at once, because somebody waits for it. Only while several Reports are on their
// way do changes gather for the next one: until an answer, or this long.
constexpr Nanos kReportGap = 5 * kMillisecond;
constexpr size_t kUnansweredBusy = 3;
constexpr size_t kUnansweredMax = 8;  // a slow coordinator gets no pile of Reports
constexpr Nanos kKeepAliveInterval = kSecond;
constexpr Nanos kTelemetryInterval = kSecond;
constexpr Nanos kDyingPoll = 10 * kMillisecond;  // while a process is on its way out
constexpr Nanos kLeftoverPoll = 100 * kMillisecond;
constexpr Nanos kIdlePoll = kSecond;
constexpr Nanos kShutdownMax = 3 * kSecond;
// A coordinator that is stopped keeps its connections. Where another may lead meanwhile, it is left
// when a Report has waited that long for its answer: several can be tried before we fence
// ourselves.
constexpr Nanos kSilencesPerFence = 10;
constexpr size_t kComplaintsMax = 32;

uint64_t SeedOf(std::string_view text) {
  uint64_t seed = 0;
  for (char c : text) seed = Mix64(seed ^ static_cast<unsigned char>(c));
  return seed;
}

}  // namespace

class Daemon::Loop {
 public:
  struct Parts {
    std::shared_ptr<Coordinators> coordinators;
    std::unique_ptr<ProcessRunner> processes;
    std::unique_ptr<Spool> spool;
    Leftovers leftovers;
    ArtifactCache artifacts;
  };
  Loop(DaemonOptions options, Parts parts);

  absl::Status Run();
  void Stop() {
    inbox_->Post([this] { stopping_ = true; });
  }

 private:
  Session::Moment Now() const { return {clock_.Monotonic(), clock_.Boottime()}; }
  void Turn();
  void Fence();
  void CheckLeftovers(Nanos now);
  void ReconcileAll(Nanos now);
  void FetchArtifacts(Nanos now);
  void OnArtifact(const std::string& sha256, const absl::StatusOr<uint64_t>& bytes);
  void Beat(Nanos now);
  Nanos Silence() const { return session_.fence() / kSilencesPerFence; }
  void LeaveSilent(Nanos now);
  bool Gathers(Nanos now) const {
    return session_.unanswered() >= kUnansweredBusy && now - reported_at_ < kReportGap;
  }
  void SendReport();
  void Wait();
  Nanos NextDeadline(Nanos now) const;
  void OnReply(const v1::SyncReply& reply, Nanos received);
  void OnSyncEnded(const absl::Status& status);
  void LogOnce(const absl::Status& status);
  void Shutdown();

  const DaemonOptions options_;
  const Clock& clock_ = SystemClock();
  Parts parts_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  Session session_;
  LocalState state_;
  SampleStreams streams_;
  Telemetry telemetry_;
  RunStreams run_streams_;
  Ranks ranks_;
  SyncClient sync_;
  Uplink uplink_;
  ArtifactFetcher fetcher_;
  std::optional<std::string> wanted_;  // the file that a rank waits for
  bool stopping_ = false;
  bool fenced_ = false;
  absl::Status fatal_;
  std::string last_fingerprint_;
  std::set<std::string> complaints_;  // told since the last answer
  Nanos reported_at_ = 0;
  Nanos beat_at_ = 0;
  Nanos leftovers_at_ = 0;
  bool opened_ = false;  // the stream's first Report is still to be sent
};

Daemon::Loop::Loop(DaemonOptions options, Parts parts)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      session_(options_.session),
      streams_(parts_.spool.get()),
      telemetry_(options_.files, kTelemetryInterval),
      run_streams_(&streams_, &telemetry_, &state_, &clock_),
      ranks_({options_.node, parts_.processes.get(), &parts_.leftovers, &run_streams_,
              &parts_.artifacts, options_.files, [this] { return session_.Identity(); },
              options_.transport, options_.interface},
             &state_),
      sync_(parts_.coordinators, inbox_,
            {[this] {
               session_.StreamOpened();
               opened_ = true;
             },
             [this](const v1::SyncReply& reply, Nanos at) { OnReply(reply, at); },
             [this](const absl::Status& status) { OnSyncEnded(status); }},
            SeedOf(options_.session.incarnation)),
      uplink_(parts_.coordinators, inbox_, parts_.spool.get(),
              SeedOf(options_.session.incarnation) + 1),
      fetcher_(
          parts_.coordinators, inbox_, parts_.artifacts.folder(),
          [this](const std::string& sha256, const absl::StatusOr<uint64_t>& bytes) {
            OnArtifact(sha256, bytes);
          },
          SeedOf(options_.session.incarnation) + 2) {
  state_.device_count = static_cast<uint32_t>(options_.node.devices_size());
}

absl::Status Daemon::Loop::Run() {
  while (!stopping_ && fatal_.ok()) {
    Turn();
    if (!stopping_ && fatal_.ok()) Wait();
  }
  Shutdown();
  return fatal_;
}

void Daemon::Loop::Turn() {
  // Before anything that was heard: after a stop of this process, replies in the Inbox are old.
  Fence();
  for (const auto& work : inbox_->Take()) work();
  const Nanos now = clock_.Monotonic();
  CheckLeftovers(now);
  ranks_.Service(now);
  ReconcileAll(now);
  FetchArtifacts(now);
  Beat(now);
  LeaveSilent(now);
  run_streams_.Tick(now);
  streams_.Tick(now);
  streams_.Drop(now, [this](const StreamKey& key) { return run_streams_.InterestIn(key); });
  uplink_.Pump(session_.Identity(), now);
  SendReport();
}

void Daemon::Loop::Fence() {
  const Session::Moment now = Now();
  const bool fenced = session_.Fenced(now.boottime);
  if (fenced && !fenced_ && state_.AnyProcess()) {
    const std::string why =
        absl::StrCat("no answer of the coordinator for ", FormatDuration(session_.fence()),
                     ": the worker ended its ranks");
    Log(LogLevel::kError, why);
    ranks_.KillAll(v1::FAILURE_KIND_FENCED, why, now.monotonic);
  }
  fenced_ = fenced;
}

void Daemon::Loop::CheckLeftovers(Nanos now) {
  if (leftovers_at_ > now || (leftovers_at_ != 0 && state_.leftovers.empty())) return;
  state_.leftovers = parts_.leftovers.KillAndCheck();
  leftovers_at_ = now + kLeftoverPoll;
}

void Daemon::Loop::ReconcileAll(Nanos now) {
  state_.may_start = !session_.Fenced(clock_.Boottime());
  // Each pass may make the next one possible (a forgotten lease frees its id); more than a few
  // would be our bug, and the next turn goes on.
  for (int pass = 0; pass < 4; ++pass) {
    const std::vector<Action> actions = Reconcile(session_.desired(), state_, now);
    if (actions.empty()) return;
    for (const Action& action : actions) ranks_.Do(action, session_.fence(), now);
  }
}

void Daemon::Loop::FetchArtifacts(Nanos now) {
  state_.artifact_errors.clear();  // whoever waited has been told
  wanted_ = WantedArtifact(session_.desired(), state_);
  fetcher_.Pump(wanted_, session_.Identity(), now);
}

void Daemon::Loop::OnArtifact(const std::string& sha256, const absl::StatusOr<uint64_t>& bytes) {
  if (bytes.ok()) {
    parts_.artifacts.Added(sha256, *bytes);
    state_.artifacts.insert(sha256);
  } else {
    state_.artifact_errors[sha256] =
        absl::StrCat("the run's file could not be fetched: ", bytes.status().message());
  }
}

void Daemon::Loop::Beat(Nanos now) {
  if (now < beat_at_) return;
  beat_at_ = now + kKeepAliveInterval;
  if (!session_.Fenced(clock_.Boottime())) ranks_.KeepAlive();
  ranks_.ReadMemory();
}

void Daemon::Loop::LeaveSilent(Nanos now) {
  const std::optional<Nanos> since = session_.WaitsSince();
  if (!parts_.coordinators->several() || sync_.idle() || !since || now - *since < Silence()) return;
  sync_.Drop(absl::DeadlineExceededError(
      absl::StrCat("no answer within ", FormatDuration(Silence()), ", so the next one is asked")));
}

void Daemon::Loop::SendReport() {
  const Session::Moment now = Now();
  if (!sync_.Ready(now.monotonic)) return;
  const bool regular = opened_ || now.monotonic - reported_at_ >= session_.sync_interval();
  if (!regular && session_.unanswered() >= kUnansweredMax) return;
  if (!regular && Gathers(now.monotonic)) return;
  v1::Report report = BuildReport(state_, streams_.Reports(), now.monotonic);
  report.set_reflects_version(session_.desired().version());
  std::string fingerprint = Fingerprint(report);
  if (!regular && fingerprint == last_fingerprint_) return;
  *report.mutable_node() = options_.node;
  if (const auto free = options_.files.FreeBytes("/dev/shm")) {
    report.mutable_node()->set_shm_free_bytes(*free);
  }
  session_.StampReport(Now(), &report);
  sync_.Send(std::move(report));
  last_fingerprint_ = std::move(fingerprint);
  reported_at_ = now.monotonic;
  opened_ = false;
}

void Daemon::Loop::OnReply(const v1::SyncReply& reply, Nanos received) {
  const uint64_t epoch = session_.epoch();
  const auto outcome = session_.OnReply(reply, received, state_.AnyProcess());
  if (!outcome.ok()) {
    LogOnce(outcome.status());
    if (outcome.status().code() == absl::StatusCode::kFailedPrecondition) {
      fatal_ = outcome.status();
    } else {
      sync_.Drop(outcome.status());  // and dial again: the fencing clock goes on meanwhile
    }
    return;
  }
  complaints_.clear();
  if (outcome->new_cluster || session_.epoch() != epoch) {
    Log(LogLevel::kInfo,
        absl::StrCat("follows the coordinator at ", sync_.address(), ", epoch ", session_.epoch()));
  }
  if (!outcome->new_cluster) return;
  Log(LogLevel::kInfo,
      absl::StrCat("this worker belongs to cluster ", session_.cluster_id().substr(0, 8), " now"));
  parts_.spool->SetAsideForeign(session_.cluster_id());
  state_.leases.clear();  // no process lives: the session refuses otherwise
  streams_.SetProvenance({session_.cluster_id(), session_.node_id(), options_.node.boot_id()});
}

void Daemon::Loop::OnSyncEnded(const absl::Status& status) {
  LogOnce(status);
  if (status.code() != absl::StatusCode::kFailedPrecondition || NotLeaderOf(status)) return;
  if (FromAbsl(status.message()).find(kProtocolMismatch) != std::string_view::npos) {
    fatal_ = status;
  } else if (!state_.AnyProcess()) {
    session_.ForgetCluster();
  }
}

void Daemon::Loop::LogOnce(const absl::Status& status) {
  std::string line = EscapeControl(FromAbsl(status.message()));
  if (stopping_ || complaints_.count(line) > 0) return;
  if (complaints_.size() >= kComplaintsMax) complaints_.clear();
  Log(LogLevel::kWarning, absl::StrCat("coordinator ", sync_.address(), ": ", line));
  complaints_.insert(std::move(line));
}

Nanos Daemon::Loop::NextDeadline(Nanos now) const {
  Nanos next = std::min(now + kIdlePoll, beat_at_);
  const auto consider = [&next](std::optional<Nanos> at) {
    if (at) next = std::min(next, *at);
  };
  consider(NextReconcile(state_));
  consider(run_streams_.NextTick());
  consider(streams_.NextSeal());
  consider(sync_.NextDial());
  // In the past: this turn's Pump has found nothing that it could send.
  const std::optional<Nanos> dial = uplink_.NextDial();
  if (parts_.spool->bytes() > 0 && dial && *dial > now) consider(dial);
  if (wanted_ && fetcher_.idle()) consider(fetcher_.dial_at());
  if (ranks_.Dying()) consider(now + kDyingPoll);
  if (!state_.leftovers.empty()) consider(leftovers_at_);
  if (const auto since = session_.WaitsSince();
      since && !sync_.idle() && parts_.coordinators->several()) {
    consider(*since + Silence());
  }
  if (sync_.writable()) {
    // A change that came meanwhile is still to be told.
    if (Gathers(now)) consider(reported_at_ + kReportGap);
    consider(reported_at_ + session_.sync_interval());
  }
  if (const auto fence = session_.FenceAt(); fence && !fenced_) {
    consider(now + std::max<Nanos>(0, *fence - clock_.Boottime()));
  }
  return next;
}

void Daemon::Loop::Wait() {
  std::vector<pollfd> fds = {{inbox_->fd(), POLLIN, 0}};
  ranks_.AddPollFds(&fds);
  const Nanos now = clock_.Monotonic();
  const Nanos wait = std::clamp<Nanos>(NextDeadline(now) - now, kMillisecond, kIdlePoll);
  poll(fds.data(), fds.size(), static_cast<int>((wait + kMillisecond - 1) / kMillisecond));
}

void Daemon::Loop::Shutdown() {
  const Nanos until = clock_.Monotonic() + kShutdownMax;
  for (auto& lease : state_.leases) {
    for (auto& entry : lease.second.ranks) {
      if (!entry.second.stopping_since) entry.second.stopping_since = clock_.Monotonic();
    }
  }
  ranks_.KillAll(v1::FAILURE_KIND_CANCELLED, "the worker was stopped", clock_.Monotonic());
  sync_.Close();
  uplink_.Close();
  fetcher_.Close();
  const auto calls_end = [this] { return sync_.idle() && uplink_.idle() && fetcher_.idle(); };
  while (clock_.Monotonic() < until && (state_.AnyProcess() || !calls_end())) {
    ranks_.Service(clock_.Monotonic());
    pollfd wake{inbox_->fd(), POLLIN, 0};
    poll(&wake, 1, 5);
    for (const auto& work : inbox_->Take()) work();
  }
  streams_.Tick(INT64_MAX / 2);
  if (const absl::Status status = parts_.spool->Sync(); !status.ok()) {
    Log(LogLevel::kError, absl::StrCat("spool: ", std::string(status.message())));
  }
}

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Create(DaemonOptions options,
                                                       std::shared_ptr<Coordinators> coordinators,
                                                       std::unique_ptr<ProcessRunner> processes) {
  ASSIGN_OR_RETURN(auto spool,
                   Spool::Open({options.data_folder + "/spool", options.data_folder + "/set-aside",
                                options.spool_bytes}));
  (*options.node.mutable_environment()->mutable_more())["zstd"] = ZstdVersion();
  ASSIGN_OR_RETURN(auto leftovers, Leftovers::Open(options.data_folder + "/ranks", options.files));
  ASSIGN_OR_RETURN(auto artifacts,
                   ArtifactCache::Open(options.data_folder + "/artifacts", options.artifact_bytes));
  return std::unique_ptr<Daemon>(new Daemon(std::make_unique<Loop>(
      std::move(options),
      Loop::Parts{std::move(coordinators), std::move(processes), std::move(spool),
                  std::move(leftovers), std::move(artifacts)})));
}

Daemon::Daemon(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
Daemon::~Daemon() = default;
absl::Status Daemon::Run() { return loop_->Run(); }
void Daemon::Stop() { loop_->Stop(); }

}  // namespace rackmark
