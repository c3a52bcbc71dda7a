// The rank's end of the socket pair to its daemon, for writing: whole frames, one at a time, from
// any thread. The reading half is the link's.
#pragma once

#include <mutex>
#include <string>

#include "common/status.h"
#include "rackmark/v1/rank_frame.pb.h"

namespace rackmark {

class Pipe {
 public:
  // Does not own the descriptor. `incarnation` names this process in every frame.
  Pipe(int fd, std::string incarnation) : fd_(fd), incarnation_(std::move(incarnation)) {}

  // What the daemon said about cluster and epoch is said back. FAILED_PRECONDITION, with both
  // ranges, if there is no protocol version that both speak.
  absl::Status Heard(const v1::Identity& identity);
  // Fills in the identity. UNAVAILABLE if the daemon is gone.
  absl::Status Send(v1::FromRank frame);

 private:
  const int fd_;
  const std::string incarnation_;
  std::mutex mutex_;
  std::string cluster_id_;  // guarded by mutex_, as all below
  uint64_t epoch_ = 0;
};

}  // namespace rackmark
