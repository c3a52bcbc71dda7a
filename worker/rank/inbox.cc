#include "worker/rank/inbox.h"

#include <chrono>
#include <utility>

namespace rackmark {

bool Inbox::Post(v1::ToRank frame) {
  std::lock_guard lock(mutex_);
  if (frame.has_stop()) {
    stop_ = true;
    CancelLocked();
  }
  if (frame.has_run()) {
    const v1::DesiredRun& run = frame.run();
    if (run.run_id() == last_run_id_ && run.attempt() == last_attempt_ &&
        run.goal() == last_goal_) {
      return true;
    }
    last_run_id_ = run.run_id();
    last_attempt_ = run.attempt();
    last_goal_ = run.goal();
    if (on_ && (run.run_id() != run_id_ || run.attempt() != attempt_)) CancelLocked();
  }
  if (orders_.size() >= kOrdersMax) return false;
  orders_.push_back(std::move(frame));
  ready_.notify_one();
  return true;
}

std::optional<v1::ToRank> Inbox::Next(Nanos wait) {
  std::unique_lock lock(mutex_);
  ready_.wait_for(lock, std::chrono::nanoseconds(wait), [this] { return !orders_.empty(); });
  if (orders_.empty()) return std::nullopt;
  v1::ToRank frame = std::move(orders_.front());
  orders_.pop_front();
  return frame;
}

void Inbox::BeginRun(uint64_t run_id, uint32_t attempt) {
  std::lock_guard lock(mutex_);
  on_ = true;
  run_id_ = run_id;
  attempt_ = attempt;
  // An order for a later run may have come in before this one began.
  bool superseded = false;
  for (const v1::ToRank& order : orders_) {
    superseded |=
        order.has_run() && (order.run().run_id() != run_id || order.run().attempt() != attempt);
  }
  cancelled_.store(stop_ || superseded, std::memory_order_relaxed);
}

void Inbox::EndRun() {
  std::lock_guard lock(mutex_);
  on_ = false;
  cancelled_.store(stop_, std::memory_order_relaxed);
}

bool Inbox::stopped() const {
  std::lock_guard lock(mutex_);
  return stop_;
}

void Inbox::OnCancel(std::function<void()> abort) {
  std::lock_guard lock(mutex_);
  abort_ = std::move(abort);
  if (abort_ && cancelled()) abort_();
}

void Inbox::CancelLocked() {
  if (cancelled_.exchange(true, std::memory_order_relaxed)) return;
  if (abort_) abort_();
}

}  // namespace rackmark
