// The loops that drive an engine: a closed one that keeps the batch full (leader), the open one of
// the measured window (leader), and following. Each ends one phase of the engine, so leader and
// followers call them in pairs. Runner's thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "worker/load/arrivals.h"
#include "worker/load/calibration.h"
#include "worker/rank/recorder.h"
#include "worker/rank/request_log.h"
#include "worker/rank/workload.h"
#include "worker/serving/engine.h"
#include "worker/serving/verify.h"

namespace rackmark {

// The first request name of the closed loop: its prompts are none of the measured ones.
constexpr uint64_t kClosedLoopFirstRequest = uint64_t{1} << 40;

// Keeps twice the batch in flight, so that the planner, which is a step ahead, always finds a
// waiting request. Nothing of it is recorded.
class ClosedLoop {
 public:
  ClosedLoop(Engine* engine, LengthSource lengths, const MeanLengths& mean,
             const RunContext& context);

  // Steps for this long.
  absl::Status Warm(Nanos duration);
  // Goes on undrained and returns the capacity in requests/s.
  absl::StatusOr<double> Calibrate(Nanos duration);

 private:
  absl::Status TopUp();
  absl::Status Step(Calibration* calibration);

  Engine* const engine_;
  const RunContext context_;
  const MeanLengths mean_;
  LengthSource lengths_;
  uint64_t next_request_ = kClosedLoopFirstRequest;
  uint64_t in_flight_ = 0;
};

// The measured window. Serves the schedule's requests; what has not ended by T1 + grace is marked
// UNFINISHED.
class OpenLoop {
 public:
  struct Window {
    Nanos t0 = 0;
    Nanos t1 = 0;
    Nanos deadline = 0;  // t1 + grace
    bool share = false;  // prompts may begin alike: use what is there already
  };
  OpenLoop(Engine* engine, RequestLog* log, const Window& window, const RunContext& context);

  absl::Status Run();
  // Some requests with the tokens that they got, for the verification.
  std::vector<MeasuredRequest> Captured() const;

 private:
  static constexpr size_t kCaptures = 4;
  static constexpr size_t kCapturedTokens = 32;
  struct Capture {
    size_t index = 0;
    std::vector<int32_t> tokens;  // preallocated
  };

  absl::Status Admit(Nanos now);
  void Take(const StepResult& step);
  void EndUnfinished(Nanos now);

  Engine* const engine_;
  RequestLog* const log_;
  const Window window_;
  const RunContext context_;
  size_t next_ = 0;  // of the schedule: the first not yet admitted
  std::vector<Capture> captures_;
};

// Followers: runs the leader's steps until its phase ends, and records them to `record_to` if it is
// not null. With `calibrating_at`, says CALIBRATING from that moment on, as the leader does.
absl::Status FollowPhase(Engine* engine, const RunContext& context, Recorder* record_to,
                         std::optional<Nanos> calibrating_at = std::nullopt);

}  // namespace rackmark
