// Follows one job to its end on the screen, through broken streams and restarts of the coordinator:
// what `run` does with its own job and `watch` with anybody's. Main's thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "cli/coordinator_client.h"
#include "cli/screen.h"
#include "cli/watcher.h"
#include "common/program.h"

namespace rackmark {

struct FollowOptions {
  uint64_t job_id = 0;
  bool cancels = true;  // a stop cancels the job and waits for its end; else it only ends this view
  // Called for each state, before the screen shows it. False = nobody reads any more, which ends
  // the view with kExitError; why is told elsewhere (FinishOutput).
  std::function<bool(const v1::WatchJobReply&)> take;
  bool shows = true;  // progress on the screen
  // Called ten times a second: keeps a local cluster alive. An error ends the view.
  std::function<absl::Status()> supervise;
  std::function<void()> hurry;  // a second stop came
};

class Follower {
 public:
  Follower(CoordinatorClient& client, StopSignal& stop, Screen& screen, FollowOptions options);
  ~Follower();
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  // Missing = the job has ended, see verdict(); else what main should return.
  std::optional<int> Run();

  v1::Verdict verdict() const { return last_.job().verdict(); }
  const v1::WatchJobReply& last() const { return last_; }
  bool cancelled() const { return cancelled_at_.has_value(); }

 private:
  Nanos Elapsed() const { return SystemClock().Monotonic() - start_; }
  std::optional<int> Fail(const absl::Status& status, int exit);
  std::optional<int> Take(const WatchUpdate& update);
  std::optional<int> CheckStop();
  void Cancel(const std::string& reason);

  CoordinatorClient& client_;
  StopSignal& stop_;
  Screen& screen_;
  const FollowOptions options_;
  const Nanos start_;
  v1::WatchJobReply last_;
  bool ended_ = false;
  std::optional<Nanos> cancelled_at_;
  std::mutex mutex_;
  std::condition_variable leaving_;
  bool left_ = false;  // guarded by mutex_
  std::thread canceller_;
  Watcher watcher_;
};

}  // namespace rackmark
