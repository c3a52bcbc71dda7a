#include "kernels/teardown.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace rackmark {
namespace {

// One limit for all steps together: who waits for this process waits for all of them.
class Guard {
 public:
  Guard(Nanos limit, const OnStuck& on_stuck, std::string first_step)
      : step_(std::move(first_step)),
        thread_([this, limit, on_stuck] { Watch(limit, on_stuck); }) {}
  ~Guard() {
    {
      std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  void At(const std::string& step) {
    std::lock_guard lock(mutex_);
    step_ = step;
  }

 private:
  void Watch(Nanos limit, const OnStuck& on_stuck) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, std::chrono::nanoseconds(limit), [this] { return over_; })) return;
    const std::string step = step_;
    lock.unlock();
    on_stuck(step);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string step_;
  bool over_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace

void Teardown::Add(TeardownStage stage, std::string_view name, std::function<absl::Status()> undo) {
  steps_[stage].push_back({std::string(name), std::move(undo)});
}

absl::Status Teardown::Run(Nanos limit, const OnStuck& on_stuck) {
  if (steps_.empty()) return absl::OkStatus();
  Guard guard(limit, on_stuck, steps_.begin()->second.back().name);
  absl::Status first;
  for (auto& [stage, steps] : std::exchange(steps_, {})) {
    for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
      guard.At(step->name);
      const absl::Status status = step->undo();
      if (first.ok() && !status.ok()) first = Annotate(status, step->name);
    }
  }
  return first;
}

}  // namespace rackmark
