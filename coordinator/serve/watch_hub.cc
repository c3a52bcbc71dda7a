#include "coordinator/serve/watch_hub.h"

#include <chrono>
#include <utility>

#include "coordinator/core/view.h"
#include "coordinator/serve/latest_writer.h"
#include "rpc/limits.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

// Of one message; the rest is for the job, the live figures, and what the writer merges.
constexpr size_t kRunsBytesMax = kMessageBytesMax / 2;
constexpr size_t kMergedBytesMax = size_t{kMessageBytesMax} * 9 / 10;
// A placement of thousands of ranks is for the report.
constexpr size_t kPlacementBytesMax = 64 << 10;

bool IsAtWork(v1::RunPhase phase) {
  return phase == v1::RUN_PHASE_PREPARING || phase == v1::RUN_PHASE_MEASURING ||
         phase == v1::RUN_PHASE_DRAINING;
}

}  // namespace

v1::RunStatus ForWatcher(v1::RunStatus run) {
  if (run.has_failure()) run.mutable_failure()->clear_stderr_tail();
  if (run.placement().ByteSizeLong() > kPlacementBytesMax) run.clear_placement();
  return run;
}

class WatchStream final
    : public LatestWriter<grpc::ServerWriteReactor<v1::WatchJobReply>, v1::WatchJobReply> {
 public:
  WatchStream(WatchHub* hub, grpc::CallbackServerContext* context, uint64_t number, JobId job)
      : LatestWriter(context), hub_(hub), number_(number), job_(job) {}

  using LatestWriter::KeepAlive;

  void OnCancel() override { End(grpc::Status::CANCELLED); }

  // On the loop's thread.
  void Look(const State& state, Now now) {
    const auto it = state.hard.jobs.find(job_);
    if (it != state.hard.jobs.end()) {
      v1::WatchJobReply reply = Build(state, it->second, now);
      std::string bytes = reply.SerializeAsString();
      if (bytes == seen_) return;
      seen_ = std::move(bytes);
      return Send(std::move(reply));
    }
    if (!HasEnded(state.hard, job_)) {
      return End(ToGrpc(NoSuchJob(state.hard.cluster_id, job_)));
    }
    if (!asked_) AskArchive();  // it was over before this watcher looked
  }
  // On the loop's thread, with the commit that ended the job.
  void Ended(const v1::EndedJob& ended) {
    if (asked_) return;
    asked_ = true;
    TellEnd(ended);
  }
  JobId job() const { return job_; }

 private:
  // All that was not told yet, and the end. Called once, by Ended or by the archive.
  void TellEnd(const v1::EndedJob& ended) {
    v1::WatchJobReply reply;
    *reply.mutable_identity() = hub_->options_.identity;
    *reply.mutable_job() = ViewEnded(ended.job());
    size_t bytes = 0;
    for (const v1::RunRecord& run : ended.runs()) {
      if (!ended_.insert(RunId{run.run_id()}).second) continue;
      v1::RunStatus status = ForWatcher(ViewEnded(run));
      bytes += status.ByteSizeLong();
      if (bytes > kRunsBytesMax) break;  // `rackmark runs` has the others
      *reply.add_runs() = std::move(status);
    }
    SendLast(std::move(reply));
  }

  void AskArchive() {
    asked_ = true;
    auto self = std::static_pointer_cast<WatchStream>(shared_from_this());
    const absl::Status asked = hub_->options_.archive->Ask([self](History* history) {
      if (history == nullptr) {
        return self->End(ToGrpc(absl::UnavailableError("the coordinator is stopping")));
      }
      const auto ended = history->Job(self->job_.value);
      if (!ended.ok()) return self->End(ToGrpc(ended.status()));
      if (*ended) return self->TellEnd(**ended);
      self->End(ToGrpc(NoLongerKept(self->hub_->options_.identity.cluster_id(), self->job_)));
    });
    if (!asked.ok()) End(ToGrpc(asked));
  }

  v1::WatchJobReply Build(const State& state, const JobState& job, Now now) {
    v1::WatchJobReply reply;
    *reply.mutable_identity() = hub_->options_.identity;
    *reply.mutable_job() = ViewJob(state, job_);
    AddRuns(state, job, now, reply);
    if (job.lease) {
      const auto lease = state.hard.leases.find(*job.lease);
      if (lease != state.hard.leases.end()) reply.set_lease_phase(lease->second.phase);
    }
    return reply;
  }

  // Those at work first, then what fits of the others. A run that ended and does not fit is told by
  // a later message.
  void AddRuns(const State& state, const JobState& job, Now now, v1::WatchJobReply& reply) {
    const bool first = seen_.empty();
    std::map<RunId, v1::RunStatus> chosen;
    size_t bytes = 0;
    for (const bool at_work : {true, false}) {
      for (const RunId run : RunsOf(job)) {
        if (bytes > kRunsBytesMax) break;
        const RunState& at = state.hard.runs.at(run);
        if (at.phase == v1::RUN_PHASE_QUEUED || IsAtWork(at.phase) != at_work) continue;
        const bool ended = at.phase == v1::RUN_PHASE_ENDED;
        if (ended && first) ended_.insert(run);  // before somebody looked: no news
        if (ended && ended_.count(run) != 0) continue;
        v1::RunStatus status = ForWatcher(ViewRun(state, run, now.monotonic));
        bytes += status.ByteSizeLong();
        if (bytes > kRunsBytesMax) break;
        if (ended) ended_.insert(run);
        chosen[run] = std::move(status);
        if (at.phase != v1::RUN_PHASE_MEASURING) continue;
        if (auto live = hub_->options_.live->Figures(run.value, at.attempt, now.monotonic)) {
          *reply.mutable_live() = *std::move(live);
        }
      }
    }
    for (auto& [run, status] : chosen) *reply.add_runs() = std::move(status);
  }

  // On the thread that sends, as Build: what does not fit is told by a later message.
  void Merge(const v1::WatchJobReply& older, v1::WatchJobReply& newer) override {
    size_t bytes = newer.ByteSizeLong();
    for (const v1::RunStatus& run : older.runs()) {
      if (run.phase() != v1::RUN_PHASE_ENDED) continue;
      bytes += run.ByteSizeLong();
      if (bytes <= kMergedBytesMax) {
        *newer.add_runs() = run;
      } else {
        ended_.erase(RunId{run.run_id()});
      }
    }
  }
  void Stamp(v1::WatchJobReply&) override {}
  void Detach() override { hub_->Forget(number_); }

  WatchHub* const hub_;
  const uint64_t number_;
  const JobId job_;
  std::string seen_;       // the last message built
  bool asked_ = false;     // the end was told, or is asked of the archive
  std::set<RunId> ended_;  // told, or ended before
};

WatchHub::WatchHub(Options options) : options_(std::move(options)) {
  thread_ = std::thread([this] { Run(); });
}

WatchHub::~WatchHub() { Stop(); }

void WatchHub::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    stop_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

grpc::ServerWriteReactor<v1::WatchJobReply>* WatchHub::Watch(grpc::CallbackServerContext* context,
                                                             JobId job, absl::Status admitted) {
  std::shared_ptr<WatchStream> stream;
  {
    std::lock_guard lock(mutex_);
    stream = std::make_shared<WatchStream>(this, context, ++last_number_, job);
    stream->KeepAlive();
    if (admitted.ok() && watchers_.size() >= options_.watchers_max) {
      admitted = absl::ResourceExhaustedError(
          absl::StrCat("already ", options_.watchers_max, " watchers; use `rackmark runs`"));
    }
    if (admitted.ok()) watchers_[last_number_] = stream;
  }
  if (admitted.ok()) {
    admitted = options_.loop->Read([stream](const Outcome& outcome) {
      if (outcome.state == nullptr) return stream->End(ToGrpc(outcome.status));
      stream->Look(*outcome.state, outcome.now);
    });
  }
  if (!admitted.ok()) stream->End(ToGrpc(admitted));
  return stream.get();
}

void WatchHub::Forget(uint64_t number) {
  std::shared_ptr<WatchStream> gone;  // let go without the lock
  std::lock_guard lock(mutex_);
  const auto it = watchers_.find(number);
  if (it == watchers_.end()) return;
  gone = std::move(it->second);
  watchers_.erase(it);
}

std::vector<std::shared_ptr<WatchStream>> WatchHub::Watchers() {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<WatchStream>> out;
  for (const auto& [number, stream] : watchers_) out.push_back(stream);
  return out;
}

void WatchHub::JobEnded(const v1::EndedJob& ended) {
  for (const auto& stream : Watchers()) {
    if (stream->job().value == ended.job().job_id()) stream->Ended(ended);
  }
}

// A fleet commits hundreds of times a second, and each look costs all watchers times all runs: the
// beat brings what is passed over here.
void WatchHub::Committed(const State& state, Now now) {
  if (looked_at_ && now.monotonic - *looked_at_ < options_.spare) return;
  LookAll(state, now);
}

void WatchHub::LookAll(const State& state, Now now) {
  looked_at_ = now.monotonic;
  for (const auto& stream : Watchers()) stream->Look(state, now);
}

void WatchHub::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    stop_.wait_for(lock, std::chrono::nanoseconds(options_.rhythm), [this] { return stopping_; });
    if (stopping_ || watchers_.empty()) continue;
    lock.unlock();
    // A full inbox drops a beat, nothing more.
    (void)options_.loop->Read([this](const Outcome& outcome) {
      if (outcome.state != nullptr) LookAll(*outcome.state, outcome.now);
    });
    lock.lock();
  }
}

}  // namespace rackmark
