#include "cli/follow.h"

#include <chrono>
#include <utility>

#include "cli/exit_status.h"
#include "cli/support.h"
#include "common/exit_codes.h"

namespace rackmark {
namespace {

constexpr Nanos kReconnectPatience = 60 * kSecond;
constexpr Nanos kCancelPatience = 20 * kSecond;
constexpr Nanos kTurn = 100 * kMillisecond;

}  // namespace

Follower::Follower(CoordinatorClient& client, StopSignal& stop, Screen& screen,
                   FollowOptions options)
    : client_(client),
      stop_(stop),
      screen_(screen),
      options_(std::move(options)),
      start_(SystemClock().Monotonic()),
      watcher_(client, options_.job_id, kReconnectPatience) {}

Follower::~Follower() {
  {
    std::lock_guard lock(mutex_);
    left_ = true;
  }
  leaving_.notify_all();
  if (canceller_.joinable()) canceller_.join();
}

std::optional<int> Follower::Fail(const absl::Status& status, int exit) {
  screen_.Clear();
  return Complain(status, exit);
}

std::optional<int> Follower::Run() {
  while (true) {
    for (const WatchUpdate& update : watcher_.Next(kTurn)) {
      if (const auto exit = Take(update)) return exit;
    }
    if (ended_) return std::nullopt;
    if (options_.supervise) {
      const absl::Status status = options_.supervise();
      if (!status.ok()) return Fail(status, kExitError);
    }
    if (const auto exit = CheckStop()) return exit;
    if (options_.shows && last_.has_job()) screen_.Show(last_, Elapsed());
  }
}

std::optional<int> Follower::Take(const WatchUpdate& update) {
  switch (update.kind) {
    case WatchUpdate::Kind::kReply:
      last_ = update.reply;
      ended_ = last_.job().phase() == v1::JOB_PHASE_ENDED;
      if (options_.take && !options_.take(last_)) return kExitError;
      // Each one is shown to the screen, so that a short phase has its line in a pipe.
      if (options_.shows) screen_.Show(last_, Elapsed());
      return std::nullopt;
    case WatchUpdate::Kind::kLost:
      screen_.Say(absl::StrCat("lost the coordinator (", update.status.message(),
                               "); trying again for up to 60 s"));
      return std::nullopt;
    case WatchUpdate::Kind::kBack: screen_.Say("the coordinator is back"); return std::nullopt;
    case WatchUpdate::Kind::kFailed: break;
  }
  return Fail(update.status, ExitOfCall(update.status));
}

std::optional<int> Follower::CheckStop() {
  if (!cancelled_at_) {
    const auto cause = stop_.Wait(0);
    if (!cause) return std::nullopt;
    if (!options_.cancels) {
      screen_.Say(absl::StrCat(*cause, ": the job goes on; rackmark cancel ends it"));
      return kExitCancelled;
    }
    cancelled_at_ = SystemClock().Monotonic();
    screen_.Say(absl::StrCat(*cause, ": cancelling the job (once more to leave now)"));
    canceller_ = std::thread([this, reason = *cause] { Cancel(reason); });
    return std::nullopt;
  }
  const bool too_long = SystemClock().Monotonic() - *cancelled_at_ > kCancelPatience;
  const bool again = stop_.Again();
  if (!too_long && !again) return std::nullopt;
  if (again && options_.hurry) options_.hurry();
  screen_.Say("left before the coordinator confirmed that the job is cancelled");
  return kExitCancelled;
}

// Again and again until the coordinator has heard it: it may be starting again just now.
void Follower::Cancel(const std::string& reason) {
  while (true) {
    const auto reply = client_.Cancel(options_.job_id, reason, 0);
    if (reply.ok() || !IsConnectionLoss(reply.status())) return;
    std::unique_lock lock(mutex_);
    const auto pause = std::chrono::nanoseconds(2 * kTurn);
    if (leaving_.wait_for(lock, pause, [this] { return left_; })) return;
  }
}

}  // namespace rackmark
