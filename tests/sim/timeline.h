// Virtual time: what is to happen, in order of time and, within one instant, in order of having
// been said. Nobody waits and nothing sleeps. Also the clocks of the simulated machines, which
// drift and are stepped. One thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "common/time.h"

namespace rackmark::sim {

class Timeline {
 public:
  using Act = std::function<void()>;

  Nanos now() const { return now_; }
  uint64_t steps() const { return steps_; }
  bool empty() const { return heap_.empty(); }
  Nanos next() const { return heap_.front().at; }

  void At(Nanos at, Act act) {
    heap_.push_back({std::max(at, now_), said_++, std::move(act)});
    std::push_heap(heap_.begin(), heap_.end(), Later);
  }
  void After(Nanos delay, Act act) { At(now_ + delay, std::move(act)); }

  // REQUIRES: not empty.
  void Step() {
    std::pop_heap(heap_.begin(), heap_.end(), Later);
    Entry entry = std::move(heap_.back());
    heap_.pop_back();
    now_ = entry.at;
    ++steps_;
    entry.act();
  }

 private:
  struct Entry {
    Nanos at;
    uint64_t order;
    Act act;
  };
  static bool Later(const Entry& a, const Entry& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }
  std::vector<Entry> heap_;
  Nanos now_ = 0;
  uint64_t said_ = 0;
  uint64_t steps_ = 0;
};

// A machine's clock: begins anywhere, runs a little wrong, and its wall clock is set by people.
class SimClock : public Clock {
 public:
  SimClock(const Timeline* timeline, Nanos base, int64_t drift_ppm, Nanos wall)
      : timeline_(timeline), base_(base), drift_ppm_(drift_ppm), wall_(wall) {}

  Nanos Monotonic() const override { return base_ + Local(timeline_->now()); }
  Nanos Boottime() const override { return Monotonic(); }
  Nanos Unix() const override { return wall_ + Local(timeline_->now()); }

  void StepWall(Nanos by) { wall_ += by; }
  // When this clock's Monotonic has reached that, in virtual time.
  Nanos When(Nanos monotonic) const {
    const Nanos local = monotonic - base_;
    return local - local * drift_ppm_ / (1'000'000 + drift_ppm_) + kMicrosecond;
  }

 private:
  Nanos Local(Nanos t) const { return t + t * drift_ppm_ / 1'000'000; }
  const Timeline* timeline_;
  const Nanos base_;
  const int64_t drift_ppm_;
  Nanos wall_;
};

}  // namespace rackmark::sim
