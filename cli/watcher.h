// Follows one job through WatchJob on a thread of its own, across restarts of its coordinator and
// to another one that leads after it. The updates are popped by main's thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "cli/coordinator_client.h"
#include "common/bounded_queue.h"

namespace rackmark {

struct WatchUpdate {
  enum class Kind { kReply, kLost, kBack, kFailed };
  Kind kind = Kind::kReply;
  v1::WatchJobReply reply;  // kReply
  absl::Status status;      // kLost: why the line broke; kFailed: why we gave up
};

class Watcher {
 public:
  // `patience`: how long without an answer until kFailed.
  Watcher(CoordinatorClient& client, uint64_t job_id, Nanos patience);
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // The updates since the last call; waits for one up to `wait`. The last one ever is kFailed, or a
  // kReply whose job has ended.
  std::vector<WatchUpdate> Next(Nanos wait) { return updates_.PopUpTo(64, wait); }

 private:
  void Loop();
  // One stream until it ends. OK = the job has ended.
  absl::Status Follow();
  void Push(WatchUpdate update);
  void Pause(Nanos duration);

  CoordinatorClient& client_;
  const uint64_t job_id_;
  const Nanos patience_;
  BoundedQueue<WatchUpdate> updates_{1024};
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::condition_variable stopping_;
  grpc::ClientContext* context_ = nullptr;  // guarded by mutex_
  Nanos last_heard_;
  bool lost_ = false;
  bool next_at_once_ = false;  // another coordinator is there to be asked
  std::thread thread_;
};

}  // namespace rackmark
