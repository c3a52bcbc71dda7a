#include "cli/watcher.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "rpc/status_bridge.h"

namespace rackmark {

Watcher::Watcher(CoordinatorClient& client, uint64_t job_id, Nanos patience)
    : client_(client),
      job_id_(job_id),
      patience_(patience),
      last_heard_(SystemClock().Monotonic()),
      thread_([this] { Loop(); }) {}

Watcher::~Watcher() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    stopping_.notify_all();
    if (context_ != nullptr) context_->TryCancel();
  }
  thread_.join();
}

void Watcher::Push(WatchUpdate update) {
  // A full queue means that main has stopped looking; the next state replaces what is left out.
  (void)updates_.TryPush(std::move(update));
}

void Watcher::Pause(Nanos duration) {
  std::unique_lock lock(mutex_);
  stopping_.wait_for(lock, std::chrono::nanoseconds(duration), [this] { return stopped_.load(); });
}

absl::Status Watcher::Follow() {
  grpc::ClientContext context;
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return absl::CancelledError("stopped");
    context_ = &context;
  }
  v1::WatchJobRequest request;
  *request.mutable_identity() = client_.identity();
  request.set_job_id(job_id_);
  const Coordinators::Way way = client_.coordinators().Ask();
  v1::ClientService::Stub stub(way.channel);
  const auto stream = stub.WatchJob(&context, request);
  bool ended = false;
  absl::Status met;
  v1::WatchJobReply reply;
  while (!ended && met.ok() && stream->Read(&reply)) {
    met = client_.Meet(reply.identity());
    if (!met.ok()) break;
    last_heard_ = SystemClock().Monotonic();
    client_.coordinators().Answered(way);
    if (std::exchange(lost_, false)) Push({WatchUpdate::Kind::kBack, {}, {}});
    ended = reply.job().phase() == v1::JOB_PHASE_ENDED;
    Push({WatchUpdate::Kind::kReply, reply, {}});
  }
  if (ended || !met.ok()) context.TryCancel();
  const absl::Status status = FromGrpc(stream->Finish());
  {
    std::lock_guard lock(mutex_);
    context_ = nullptr;
  }
  if (ended) return absl::OkStatus();
  if (!met.ok()) return met;
  const absl::Status why =
      status.ok() ? absl::UnavailableError("the coordinator ended the stream") : status;
  next_at_once_ = client_.coordinators().MoveOn(way, why);
  return why;
}

void Watcher::Loop() {
  Nanos pause = 100 * kMillisecond;
  while (!stopped_) {
    const Nanos before = last_heard_;
    const absl::Status status = Follow();
    if (status.ok() || stopped_) return;
    const bool hopeless = !IsConnectionLoss(status) && !absl::IsInternal(status);
    if (hopeless || SystemClock().Monotonic() - last_heard_ > patience_) {
      return Push({WatchUpdate::Kind::kFailed, {}, status});
    }
    if (!std::exchange(lost_, true)) Push({WatchUpdate::Kind::kLost, {}, status});
    if (last_heard_ != before) pause = 100 * kMillisecond;
    if (next_at_once_) continue;
    Pause(pause);
    pause = std::min<Nanos>(2 * pause, 2 * kSecond);
  }
}

}  // namespace rackmark
