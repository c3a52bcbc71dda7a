// Orders on their way from the link thread to the runner, and the cancel flag that a busy runner
// looks at between steps. A stop, or an order for another run, cancels the run that is on: its
// abort hook is called at once, because the runner may be inside a collective. Thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "common/time.h"
#include "rackmark/v1/rank_frame.pb.h"

namespace rackmark {

class Inbox {
 public:
  static constexpr size_t kOrdersMax = 64;

  // Link thread. False if the runner is kOrdersMax orders behind: the daemon is broken. The same
  // DesiredRun again is no new order (the daemon is level-triggered, it repeats itself).
  bool Post(v1::ToRank frame);

  // Runner thread. Missing if nothing came within `wait`.
  std::optional<v1::ToRank> Next(Nanos wait);
  // From here on an order for another run cancels this one.
  void BeginRun(uint64_t run_id, uint32_t attempt);
  void EndRun();
  // True once the run that is on should end; cheap enough for every step.
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  bool stopped() const;
  // Called at the first cancel, by the link thread, or here and now if that has been; nullptr to
  // clear. Must not block. Set only while a collective may be waited for: an abort is for ever.
  void OnCancel(std::function<void()> abort);

 private:
  void CancelLocked();

  mutable std::mutex mutex_;
  std::condition_variable ready_;
  // All below but the flag are guarded by mutex_.
  std::deque<v1::ToRank> orders_;
  bool stop_ = false;
  bool on_ = false;  // a run is on
  uint64_t run_id_ = 0;
  uint32_t attempt_ = 0;
  // The last DesiredRun that was taken in, to tell repetitions.
  uint64_t last_run_id_ = 0;
  uint32_t last_attempt_ = 0;
  v1::RunGoal last_goal_ = v1::RUN_GOAL_UNKNOWN;
  std::function<void()> abort_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace rackmark
