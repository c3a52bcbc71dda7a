// The rank's end of the socket pair to its daemon, for writing: whole frames, in the order in which
// they were sent, from any thread. The reading half is the link's. Frames leave on a thread of its
// own, because nobody here may wait for the daemon: the runner's peers wait for it inside
// collectives, and the link's thread is the dead-man timer.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "common/status.h"
#include "rackmark/v1/rank_frame.pb.h"

namespace rackmark {

class Pipe {
 public:
  // Does not own the descriptor. `incarnation` names this process in every frame.
  Pipe(int fd, std::string incarnation);
  // Writes what is queued, as long as the daemon takes it.
  ~Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  // What the daemon said about cluster and epoch is said back. FAILED_PRECONDITION, with both
  // ranges, if there is no protocol version that both speak. Never waits for the daemon.
  absl::Status Heard(const v1::Identity& identity);
  // Fills in the identity and queues. Never waits for the daemon. UNAVAILABLE if it is known to be
  // gone. Nothing bounds the queue but its senders: statuses are answers to orders, and the emitter
  // flushes before it goes on.
  absl::Status Send(v1::FromRank frame);
  // Tells the daemon that this process runs: its last status once more, unless frames are still on
  // their way. Never waits for the daemon.
  void SayAgain();
  // Waits until all that was sent before has been written; an error if that cannot be.
  absl::Status Flush();

 private:
  void Loop();
  absl::Status SendLocked(v1::FromRank frame);

  const int fd_;
  const std::string incarnation_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // All below are guarded by mutex_.
  std::string cluster_id_;
  uint64_t epoch_ = 0;
  v1::RankStatus last_status_;
  std::deque<std::string> queue_;
  uint64_t sent_ = 0;     // frames that Send took
  uint64_t written_ = 0;  // of those, on their way
  absl::Status failed_;
  bool stop_ = false;

  std::thread thread_;  // last: everything that it uses exists before it
};

}  // namespace rackmark
