// The daemon's end of one rank's pipes: frames out through a bounded outbox, frames in, and the
// tail of what the rank printed. Owns both descriptors. The loop thread's; never blocks.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/frame.h"
#include "common/status.h"
#include "rackmark/v1/rank_frame.pb.h"

namespace rackmark {

constexpr size_t kStderrTailBytes = 4096;
constexpr size_t kOutboxBytesMax = 8 << 20;

class RankLink {
 public:
  RankLink(int pipe_fd, int stderr_fd) : pipe_fd_(pipe_fd), stderr_fd_(stderr_fd) {}
  ~RankLink();
  RankLink(const RankLink&) = delete;
  RankLink& operator=(const RankLink&) = delete;

  // -1 after that pipe's end.
  int pipe_fd() const { return pipe_fd_; }
  int stderr_fd() const { return stderr_fd_; }
  bool wants_write() const { return pipe_fd_ >= 0 && !outbox_.empty(); }

  // Queues the frame and writes what the pipe takes. RESOURCE_EXHAUSTED if the rank does not read:
  // nothing of the frame is queued then.
  absl::Status Send(const v1::ToRank& frame);
  absl::Status Flush();
  // Appends every whole frame that has arrived. UNAVAILABLE at the end of the pipe (frames before
  // it are still appended), DATA_LOSS for bytes that are no frame: the link is closed then.
  absl::Status Receive(std::vector<v1::FromRank>* frames);
  void ReadStderr();
  // As UTF-8, whatever the rank printed: bytes that are none become '?'.
  std::string StderrTail() const;
  void ClosePipe();

 private:
  int pipe_fd_;
  int stderr_fd_;
  FrameReader reader_;
  std::string outbox_;
  std::string stderr_tail_;
};

}  // namespace rackmark
