#include "cli/suite_follow.h"

#include <poll.h>

#include <utility>

#include "cli/exit_status.h"
#include "cli/support.h"
#include "common/exit_codes.h"

namespace rackmark {
namespace {

constexpr Nanos kReconnectPatience = 60 * kSecond;
constexpr Nanos kCancelPatience = 20 * kSecond;
constexpr Nanos kTurn = 100 * kMillisecond;
constexpr Nanos kLookEvery = 500 * kMillisecond;

// A second stop has come, which Again() has not taken yet.
bool SignalWaits(const StopSignal& stop) {
  pollfd fd = {stop.signal_fd(), POLLIN, 0};
  return poll(&fd, 1, 0) > 0;
}

}  // namespace

SuiteFollower::SuiteFollower(CoordinatorClient& client, StopSignal& stop, Screen& screen,
                             SuiteFollowOptions options)
    : client_(client),
      stop_(stop),
      screen_(screen),
      options_(std::move(options)),
      start_(SystemClock().Monotonic()),
      heard_(start_) {}

std::optional<int> SuiteFollower::Fail(const absl::Status& status, int exit) {
  screen_.Clear();
  return Complain(status, exit);
}

std::optional<int> SuiteFollower::Run() {
  Nanos look_at = 0;
  while (true) {
    if (SystemClock().Monotonic() >= look_at) {
      if (const auto exit = Look()) return exit;
      if (last_.has_ended_unix_ns()) return std::nullopt;
      look_at = SystemClock().Monotonic() + kLookEvery;
    }
    if (options_.supervise) {
      if (const absl::Status status = options_.supervise(); !status.ok()) {
        return Fail(status, kExitError);
      }
    }
    if (const auto exit = CheckStop()) return exit;
  }
}

// A local coordinator that died is started again between two calls; of several remote ones a call
// needs the time to find the one that leads; but not while somebody waits to leave.
std::optional<int> SuiteFollower::Look() {
  if (cancelled_at_) {
    if (const absl::Status status = CancelOpen(); !status.ok()) return Lose(status);
    if (SignalWaits(stop_)) return std::nullopt;
  }
  const Nanos patience = options_.supervise || cancelled_at_ ? kTurn : 5 * kSecond;
  const auto reply = client_.ListSuites(options_.suite_id, 0, patience);
  if (!reply.ok()) return Lose(reply.status());
  if (reply->suites_size() != 1 || reply->suites(0).suite_id() != options_.suite_id) {
    return Fail(absl::InternalError(
                    "the coordinator answered without the suite that it was asked for; look at "
                    "its log, and at its version with rackmark version"),
                kExitInternal);
  }
  heard_ = SystemClock().Monotonic();
  if (std::exchange(lost_, false)) screen_.Say("the coordinator is back");
  last_ = reply->suites(0);
  for (const std::string& line : news_.Lines(last_, heard_ - start_)) screen_.Say(line);
  return std::nullopt;
}

std::optional<int> SuiteFollower::Lose(const absl::Status& status) {
  if (!IsConnectionLoss(status)) return Fail(status, ExitOfCall(status));
  // A stop that comes while it waits for an answer is no loss.
  if (stop_.Wait(0)) return std::nullopt;
  if (SystemClock().Monotonic() - heard_ > kReconnectPatience) {
    return Fail(status, ExitOfCall(status));
  }
  if (!std::exchange(lost_, true)) {
    screen_.Say(
        absl::StrCat("lost the coordinator (", status.message(), "); trying again for up to 60 s"));
  }
  return std::nullopt;
}

// Again and again until the coordinator has heard it: it may be starting again just now. The first
// loss ends the round: the other jobs would only wait for the same silence.
absl::Status SuiteFollower::CancelOpen() {
  for (const v1::JobStatus& job : last_.jobs()) {
    if (job.phase() == v1::JOB_PHASE_ENDED || cancelled_jobs_.count(job.job_id()) > 0) continue;
    if (SignalWaits(stop_)) break;
    const absl::Status status = client_.Cancel(job.job_id(), cause_, 0).status();
    if (IsConnectionLoss(status)) return status;
    if (status.ok()) cancelled_jobs_.insert(job.job_id());
  }
  return absl::OkStatus();
}

std::optional<int> SuiteFollower::CheckStop() {
  if (!cancelled_at_) {
    const auto cause = stop_.Wait(kTurn);
    if (!cause) return std::nullopt;
    cancelled_at_ = SystemClock().Monotonic();
    cause_ = *cause;
    screen_.Say(
        absl::StrCat(*cause, ": cancelling the jobs of the suite (once more to leave now)"));
    return std::nullopt;
  }
  PausePlainly(kTurn);
  const bool too_long = SystemClock().Monotonic() - *cancelled_at_ > kCancelPatience;
  const bool again = stop_.Again();
  if (!too_long && !again) return std::nullopt;
  if (again && options_.hurry) options_.hurry();
  screen_.Say("left before the coordinator confirmed that the suite is cancelled");
  return kExitCancelled;
}

}  // namespace rackmark
