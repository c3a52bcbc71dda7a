#include "worker/daemon/ranks.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "common/ids.h"
#include "common/log.h"
#include "common/shm_name.h"
#include "common/text.h"
#include "rpc/identity.h"
#include "worker/daemon/progress.h"
#include "worker/device/telemetry.h"

namespace rackmark {
namespace {

// A rank whose pipe has ended should be gone; after that long it is not left to itself.
constexpr Nanos kEndedGrace = kSecond;
// A longer gap between two looks is a stall of this process, and no silence of its ranks.
constexpr Nanos kStall = 2 * kSecond;
// Ranks say something once a second: less than a few of those is no silence.
constexpr Nanos kSilenceMin = 5 * kSecond;

// A rank removes its segment's name itself, unless SIGKILL takes it before all have attached. We
// chose the name, so nothing of it needs to have been heard.
void RemoveSegment(const LocalRank& rank) {
  if (rank.segment.empty() || shm_unlink(rank.segment.c_str()) != 0) return;
  Log(LogLevel::kInfo,
      absl::StrCat("removed the shared-memory segment that pid ", rank.pid, " left"));
}

}  // namespace

LocalRank* Ranks::Find(const RankRef& ref) {
  const auto lease = state_->leases.find(ref.lease_id);
  if (lease == state_->leases.end()) return nullptr;
  const auto rank = lease->second.ranks.find(ref.rank);
  return rank == lease->second.ranks.end() ? nullptr : &rank->second;
}

v1::Failure Ranks::MakeFailure(const RankRef& ref, v1::FailureKind kind, std::string_view detail) {
  v1::Failure failure;
  failure.set_kind(kind);
  failure.set_rank(ref.rank);
  failure.set_node(options_.node.name());
  failure.set_detail(std::string(detail));
  if (const LocalRank* rank = Find(ref)) {
    failure.set_device(rank->device);
    failure.set_phase(rank->phase);
  }
  const auto live = live_.find(ref);
  if (live != live_.end()) {
    live->second.link->ReadStderr();
    failure.set_stderr_tail(live->second.link->StderrTail());
  }
  return failure;
}

void Ranks::Fail(const RankRef& ref, v1::FailureKind kind, std::string_view detail) {
  LocalRank* rank = Find(ref);
  if (rank == nullptr || rank->failure) return;  // the first cause stays
  rank->failure = MakeFailure(ref, kind, detail);
  Log(LogLevel::kWarning,
      absl::StrCat("lease ", ref.lease_id, " rank ", ref.rank, ": ", EscapeControl(detail)));
}

void Ranks::Do(const Action& action, Nanos dead_man, Nanos now) {
  if (const auto* start = std::get_if<StartRank>(&action)) {
    Start(*start, dead_man);
  } else if (const auto* connect = std::get_if<SendConnect>(&action)) {
    Find(connect->ref)->connect_sent = true;
    v1::ToRank frame;
    *frame.mutable_connect() = connect->connect;
    SendTo(connect->ref, std::move(frame), now);
  } else if (const auto* run = std::get_if<SendRun>(&action)) {
    Tell(*run, now);
  } else if (const auto* feed = std::get_if<FeedRank>(&action)) {
    StartFeed(*feed);
    if (const auto live = live_.find(feed->ref); live != live_.end()) {
      Feed(feed->ref, &live->second, now);
    }
  } else if (const auto* refuse = std::get_if<RefuseRun>(&action)) {
    Refuse(*refuse, now);
  } else if (const auto* stop = std::get_if<StopRank>(&action)) {
    Find(stop->ref)->stopping_since = now;
    v1::ToRank frame;
    frame.mutable_stop();
    SendTo(stop->ref, std::move(frame), now);
  } else if (const auto* kill = std::get_if<KillRank>(&action)) {
    Kill(kill->ref, now);
  } else if (const auto* forget = std::get_if<ForgetLease>(&action)) {
    state_->leases.erase(forget->lease_id);
  }
}

// What Reconcile goes by, and the streams that the run's samples will take.
void Ranks::NoteTold(const RankRef& ref, const v1::DesiredRun& run) {
  LocalRank* rank = Find(ref);
  const RunKey key{run.run_id(), run.attempt()};
  const bool fresh = !rank->told || RunKey{rank->told->run_id(), rank->told->attempt()} != key;
  rank->told = run;
  rank->told->clear_spec();
  if (!fresh) return;
  rank->refused.reset();
  options_.listener->OnTold(ref, key);
}

void Ranks::Tell(const SendRun& action, Nanos now) {
  NoteTold(action.ref, action.run);
  v1::ToRank frame;
  *frame.mutable_run() = action.run;
  SendTo(action.ref, std::move(frame), now);
}

// The rank has done nothing wrong and nobody is blamed; it goes on with the next run.
void Ranks::Refuse(const RefuseRun& action, Nanos now) {
  NoteTold(action.ref, action.run);
  v1::RankStatus status;
  status.set_phase(v1::RANK_PHASE_FAILED);
  status.set_run_id(action.run.run_id());
  status.set_attempt(action.run.attempt());
  status.mutable_failure()->set_detail(action.detail);
  TakeStatus(action.ref, &status, now);
  Find(action.ref)->refused = RunKey{action.run.run_id(), action.run.attempt()};
  options_.listener->OnOver(action.ref, {action.run.run_id(), action.run.attempt()});
  Log(LogLevel::kWarning, absl::StrCat("lease ", action.ref.lease_id, " rank ", action.ref.rank,
                                       ": ", EscapeControl(action.detail)));
}

void Ranks::StartFeed(const FeedRank& action) {
  const auto live = live_.find(action.ref);
  LocalRank* rank = Find(action.ref);
  if (live == live_.end() || rank == nullptr) return;
  auto feed = options_.artifacts->Feed(action.sha256);
  if (!feed.ok()) {  // it had to make room, or was taken away: it is wanted again now
    state_->artifacts.erase(action.sha256);
    return;
  }
  live->second.feed = *std::move(feed);
  rank->feeding = action.sha256;
}

// As much as the pipe takes, and not more than a little per turn. The run is told after it, on the
// same pipe.
void Ranks::Feed(const RankRef& ref, Live* live, Nanos now) {
  constexpr int kPartsPerTurn = 4;
  for (int i = 0; i < kPartsPerTurn && live->feed != nullptr && !live->link->wants_write(); ++i) {
    LocalRank* rank = Find(ref);
    auto part = live->feed->Next();
    if (!part.ok()) {
      live->feed.reset();
      Fail(ref, v1::FAILURE_KIND_RANK_FAILED, FromAbsl(part.status().message()));
      return Kill(ref, now);
    }
    v1::ToRank frame;
    *frame.mutable_artifact() = *std::move(part);
    SendTo(ref, std::move(frame), now);
    if (!live->feed->done()) continue;
    rank->artifact = std::exchange(rank->feeding, "");
    live->feed.reset();
  }
}

void Ranks::Start(const StartRank& action, Nanos dead_man) {
  LocalLease& lease = state_->leases[action.ref.lease_id];
  lease.generation = action.generation;
  lease.world_size = action.world_size;
  LocalRank& rank = lease.ranks[action.ref.rank];
  rank.device = action.device;
  const std::string segment = std::string(kSegmentPrefix) + RandomHex(16);
  absl::StatusOr<RankProcess> process = absl::InternalError("");
  if (action.device >= static_cast<uint32_t>(options_.node.devices_size()) ||
      options_.node.devices(static_cast<int>(action.device)).kind() != action.kind) {
    process = absl::FailedPreconditionError(absl::StrCat("node ", options_.node.name(), " has no ",
                                                         v1::DeviceKind_Name(action.kind),
                                                         " device ", action.device));
  } else {
    process = options_.processes->Start(action.kind, segment);
  }
  if (!process.ok()) {
    const bool absent = process.status().code() == absl::StatusCode::kFailedPrecondition;
    Fail(action.ref, absent ? v1::FAILURE_KIND_UNSUPPORTED : v1::FAILURE_KIND_RANK_DIED,
         FromAbsl(process.status().message()));
    rank.phase = v1::RANK_PHASE_EXITED;
    rank.reaped = true;
    return;
  }
  rank.pid = process->pid;
  rank.segment = segment;
  live_[action.ref] = {process->pid,
                       std::make_unique<RankLink>(process->pipe_fd, process->stderr_fd),
                       std::nullopt, std::max(dead_man, kSilenceMin), std::nullopt};
  const absl::Status noted =
      options_.leftovers->Add(process->pid, action.ref.lease_id, action.device, segment);
  if (!noted.ok()) Log(LogLevel::kError, FromAbsl(noted.message()));
  v1::ToRank frame;
  v1::RankInit* init = frame.mutable_init();
  init->set_lease_id(action.ref.lease_id);
  init->set_generation(action.generation);
  init->set_rank(action.ref.rank);
  init->set_world_size(action.world_size);
  *init->mutable_device() = options_.node.devices(static_cast<int>(action.device));
  init->set_host_id(options_.node.host_id());
  init->set_dead_man_ns(dead_man);
  init->set_transport(options_.transport);
  // Ranks of one node listen where nobody else can reach them.
  const bool inside = action.whole_gang && options_.interface.empty();
  init->set_interface(inside ? "lo" : options_.interface);
  if (action.hold) *init->mutable_hold() = *action.hold;
  SendTo(action.ref, std::move(frame), 0);
}

void Ranks::SendTo(const RankRef& ref, v1::ToRank frame, Nanos now) {
  const auto live = live_.find(ref);
  if (live == live_.end()) return;
  *frame.mutable_identity() = options_.identity();
  const absl::Status status = live->second.link->Send(frame);
  // A pipe that is gone is the reader's finding; a rank that does not read is broken.
  if (status.code() != absl::StatusCode::kResourceExhausted) return;
  Fail(ref, v1::FAILURE_KIND_RANK_FAILED, FromAbsl(status.message()));
  Kill(ref, now);
}

void Ranks::Kill(const RankRef& ref, Nanos now) {
  const auto live = live_.find(ref);
  if (live == live_.end()) return;
  options_.processes->Kill(live->second.pid);
  LocalRank* rank = Find(ref);
  if (rank != nullptr && !rank->killed_at) rank->killed_at = now;
}

void Ranks::KillAll(v1::FailureKind kind, std::string_view detail, Nanos now) {
  for (const auto& entry : live_) {
    Fail(entry.first, kind, detail);
    Kill(entry.first, now);
  }
}

void Ranks::KeepAlive() {
  v1::ToRank frame;
  frame.mutable_keep_alive();
  *frame.mutable_identity() = options_.identity();
  for (auto& entry : live_) {
    // One is enough: a rank that has not read the last frames yet gets no more of these.
    if (!entry.second.link->wants_write()) entry.second.link->Send(frame).IgnoreError();
  }
}

void Ranks::ReadMemory() {
  for (const auto& [ref, live] : live_) {
    if (LocalRank* rank = Find(ref)) rank->rss_bytes = ProcessRss(options_.files, live.pid);
  }
}

void Ranks::AddPollFds(std::vector<pollfd>* fds) const {
  for (const auto& entry : live_) {
    const RankLink& link = *entry.second.link;
    if (link.pipe_fd() >= 0) {
      const int events = POLLIN | (link.wants_write() || entry.second.feed ? POLLOUT : 0);
      fds->push_back({link.pipe_fd(), static_cast<short>(events), 0});
    }
    if (link.stderr_fd() >= 0) fds->push_back({link.stderr_fd(), POLLIN, 0});
  }
}

bool Ranks::Dying() const {
  for (const auto& [ref, live] : live_) {
    if (live.pipe_ended) return true;
    const auto lease = state_->leases.find(ref.lease_id);
    if (lease != state_->leases.end() && lease->second.ranks.at(ref.rank).killed_at) return true;
  }
  return false;
}

// A rank says something at least once a second. One that is stopped, or that the machine does not
// let run, looks to its peers like a slow one: only its daemon can tell, and blame it.
void Ranks::CheckSilence(const RankRef& ref, const Live& live, Nanos now) {
  const LocalRank* rank = Find(ref);
  if (rank == nullptr || rank->killed_at || now - *live.heard_at < live.silence_max) return;
  if (DumpsCore(options_.files, live.pid)) {
    // It has crashed, and the kernel is still writing its memory out. That had its time: ended, it
    // says which signal it was.
    return options_.processes->Kill(live.pid);
  }
  Fail(ref, v1::FAILURE_KIND_RANK_FAILED,
       absl::StrCat("the rank's process said nothing for ", FormatDuration(live.silence_max),
                    ": it was stopped, or could not run"));
  Kill(ref, now);
}

void Ranks::ForgiveStall(Nanos now) {
  const Nanos gap = now - serviced_at_.value_or(now);
  serviced_at_ = now;
  if (gap <= kStall) return;
  for (auto& [ref, live] : live_) {
    if (live.heard_at) *live.heard_at += gap;
  }
}

void Ranks::Service(Nanos now) {
  ForgiveStall(now);
  for (auto it = live_.begin(); it != live_.end();) {
    const RankRef ref = it->first;
    Live& live = it->second;
    live.link->Flush().IgnoreError();
    Feed(ref, &live, now);
    live.link->ReadStderr();
    if (!live.heard_at) live.heard_at = now;
    // Reaped before the last read, so that nothing that it wrote before its death is missed.
    const std::optional<std::string> how = options_.processes->Reap(live.pid);
    Receive(ref, &live, now);
    if (!how) {
      CheckSilence(ref, live, now);
      if (live.pipe_ended && now - *live.pipe_ended >= kEndedGrace) Kill(ref, now);
      ++it;
      continue;
    }
    // Bounded, because something that the rank started may still hold the pipe open.
    for (int i = 0; i < 1024 && live.link->pipe_fd() >= 0; ++i) Receive(ref, &live, now);
    Reaped(ref, *how);
    it = live_.erase(it);
  }
}

void Ranks::Receive(const RankRef& ref, Live* live, Nanos now) {
  if (live->link->pipe_fd() < 0) return;
  std::vector<v1::FromRank> frames;
  const absl::Status status = live->link->Receive(&frames);
  if (!frames.empty()) live->heard_at = now;
  for (v1::FromRank& frame : frames) Take(ref, &frame, now);
  if (status.ok()) return;
  if (!live->pipe_ended) live->pipe_ended = now;
  if (status.code() != absl::StatusCode::kUnavailable) {
    Fail(ref, v1::FAILURE_KIND_RANK_FAILED, FromAbsl(status.message()));
    Kill(ref, now);
  }
}

void Ranks::Take(const RankRef& ref, v1::FromRank* frame, Nanos now) {
  LocalRank* rank = Find(ref);
  if (rank == nullptr) return;
  if (const absl::Status spoken = CheckProtocol(frame->identity()); !spoken.ok()) {
    Fail(ref, v1::FAILURE_KIND_UNSUPPORTED, FromAbsl(spoken.message()));
    return Kill(ref, now);
  }
  switch (frame->frame_case()) {
    case v1::FromRank::kCard: {
      rank->card = std::move(*frame->mutable_card());
      rank->card->set_lease_id(ref.lease_id);
      rank->card->set_generation(state_->leases[ref.lease_id].generation);
      rank->card->set_rank(ref.rank);
      return;
    }
    case v1::FromRank::kStatus: {
      // Of a run that was refused in its place it knows nothing: what it says again, of the time
      // before, must not undo the refusal.
      const v1::RankStatus& status = frame->status();
      if (rank->refused && *rank->refused != RunKey{status.run_id(), status.attempt()}) return;
      return TakeStatus(ref, frame->mutable_status(), now);
    }
    case v1::FromRank::kSamples:
      if (HasResults(frame->samples())) ++rank->progress;
      return options_.listener->OnSamples(ref, rank->run, frame->samples());
    case v1::FromRank::kSamplesEnd:
      return options_.listener->OnSamplesEnd(
          ref, {frame->samples_end().run_id(), frame->samples_end().attempt()});
    case v1::FromRank::FRAME_NOT_SET: break;
  }
  Fail(ref, v1::FAILURE_KIND_RANK_FAILED, "the rank sent a frame that this worker does not know");
  Kill(ref, now);
}

void Ranks::TakeStatus(const RankRef& ref, v1::RankStatus* status, Nanos now) {
  LocalRank* rank = Find(ref);
  if (status->phase() <= v1::RANK_PHASE_UNKNOWN || status->phase() >= v1::RANK_PHASE_EXITED) {
    Fail(ref, v1::FAILURE_KIND_RANK_FAILED,
         absl::StrCat("the rank says that it is in phase ", static_cast<int>(status->phase())));
    return Kill(ref, now);
  }
  const RunKey run{status->run_id(), status->attempt()};
  if (rank->run != run && rank->run.run_id != 0) options_.listener->OnOver(ref, rank->run);
  if (IsNews(*rank, *status)) ++rank->progress;
  const v1::RankPhase before = rank->phase;
  rank->run = run;
  rank->phase = status->phase();
  rank->note = status->note();
  rank->transport = status->transport();
  if (rank->phase == v1::RANK_PHASE_READY) rank->met = true;
  if (rank->phase == v1::RANK_PHASE_FAILED) {
    v1::Failure failure = MakeFailure(ref, v1::FAILURE_KIND_RANK_FAILED, "the rank failed");
    failure.set_phase(before);
    // Who is to blame is the rank's to say: what a peer's end did to it is no fault of its own.
    failure.clear_rank();
    failure.clear_device();
    failure.MergeFrom(status->failure());
    failure.set_node(options_.node.name());
    if (failure.has_rank() && failure.rank() == ref.rank) failure.set_device(rank->device);
    rank->failure = std::move(failure);
  } else if (!rank->killed_at) {
    rank->failure.reset();  // it failed in an earlier run and goes on
  }
  // A rank that FAILED may still deliver what it had recorded: until it ends its samples, goes on
  // to another run or is gone.
  if (rank->phase == v1::RANK_PHASE_DONE && run.run_id != 0) options_.listener->OnOver(ref, run);
}

void Ranks::Reaped(const RankRef& ref, std::string_view how) {
  LocalRank* rank = Find(ref);
  options_.leftovers->Remove(live_.at(ref).pid);
  if (rank == nullptr) return;
  RemoveSegment(*rank);
  const bool expected = rank->stopping_since || rank->killed_at;
  if (!expected) {
    Fail(ref, v1::FAILURE_KIND_RANK_DIED, absl::StrCat("the rank process ended: ", ToAbsl(how)));
  }
  Log(LogLevel::kInfo, absl::StrCat("lease ", ref.lease_id, " rank ", ref.rank, " pid ", rank->pid,
                                    " is gone: ", ToAbsl(how)));
  if (rank->run.run_id != 0) options_.listener->OnOver(ref, rank->run);
  if (rank->told) {
    options_.listener->OnOver(ref, {rank->told->run_id(), rank->told->attempt()});
  }
  rank->phase = v1::RANK_PHASE_EXITED;
  rank->reaped = true;
  rank->rss_bytes.reset();
}

}  // namespace rackmark
