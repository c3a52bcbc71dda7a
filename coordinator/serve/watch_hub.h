// Everybody who watches a job: each gets the job's state at once, after a commit that changes it
// (not more often than every 50 ms), and about every 500 ms; its end with the commit that ended it.
// Messages are built on the loop's thread from committed state; a slow reader skips messages, but
// hears of every run that ended. Own thread for the rhythm. Must outlive the listener's calls;
// stopped before the loop.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/ids.h"
#include "common/time.h"
#include "coordinator/archive.h"
#include "coordinator/live.h"
#include "coordinator/loop.h"
#include "grpcpp/support/server_callback.h"
#include "rackmark/v1/client_api.pb.h"

namespace rackmark {

class WatchStream;

// What a message to a watcher holds of a run: not what only a report shows and may be large.
v1::RunStatus ForWatcher(v1::RunStatus run);

class WatchHub : public LoopListener {
 public:
  struct Options {
    Loop* loop = nullptr;
    Archive* archive = nullptr;
    const LiveBoard* live = nullptr;
    v1::Identity identity;
    Nanos rhythm = 500 * kMillisecond;
    Nanos spare = 50 * kMillisecond;  // no look at what was committed that soon after another
    size_t watchers_max = 256;
  };
  explicit WatchHub(Options options);
  ~WatchHub() override;  // Stop()

  grpc::ServerWriteReactor<v1::WatchJobReply>* Watch(grpc::CallbackServerContext* context,
                                                     JobId job, absl::Status admitted);
  // No more rhythm. Open streams stay until the listener cuts them.
  void Stop();

  void DesiredChanged(NodeId, const State&) override {}
  void RunToJudge(RunId) override {}
  void JobEnded(const v1::EndedJob& ended) override;
  void Committed(const State& state, Now now) override;

 private:
  friend class WatchStream;
  void Run();
  void LookAll(const State& state, Now now);
  void Forget(uint64_t number);
  std::vector<std::shared_ptr<WatchStream>> Watchers();

  const Options options_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  uint64_t last_number_ = 0;
  std::map<uint64_t, std::shared_ptr<WatchStream>> watchers_;
  std::optional<Nanos> looked_at_;  // the loop's thread
  std::thread thread_;
};

}  // namespace rackmark
