#include "worker/daemon/rank_link.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace rackmark {

RankLink::~RankLink() {
  ClosePipe();
  if (stderr_fd_ >= 0) close(stderr_fd_);
}

void RankLink::ClosePipe() {
  if (pipe_fd_ >= 0) close(pipe_fd_);
  pipe_fd_ = -1;
  outbox_.clear();
}

absl::Status RankLink::Send(const v1::ToRank& frame) {
  if (pipe_fd_ < 0) return absl::UnavailableError("the rank's pipe is closed");
  const size_t size = frame.ByteSizeLong();
  if (size > kFrameBytesMax || outbox_.size() + size + 4 > kOutboxBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a frame of ", size, " bytes does not fit: ", outbox_.size(),
                     " bytes wait already, the rank does not read"));
  }
  // WriteFrame of common/frame waits while the pipe is full; this loop must not.
  for (int shift = 0; shift < 32; shift += 8) {
    outbox_ += static_cast<char>((size >> shift) & 0xff);
  }
  frame.AppendToString(&outbox_);
  return Flush();
}

absl::Status RankLink::Flush() {
  size_t done = 0;
  while (pipe_fd_ >= 0 && done < outbox_.size()) {
    const ssize_t n =
        send(pipe_fd_, outbox_.data() + done, outbox_.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      done += static_cast<size_t>(n);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    } else if (errno != EINTR) {
      // The reading side finds the end and what came before it; here there is nothing to add.
      outbox_.clear();
      return absl::UnavailableError("the rank's pipe is gone");
    }
  }
  outbox_.erase(0, done);
  return absl::OkStatus();
}

absl::Status RankLink::Receive(std::vector<v1::FromRank>* frames) {
  if (pipe_fd_ < 0) return absl::UnavailableError("the rank's pipe is closed");
  absl::Status status = reader_.ReadSome(pipe_fd_);
  while (auto bytes = reader_.Next()) {
    v1::FromRank frame;
    if (!frame.ParseFromString(*bytes)) {
      status = absl::DataLossError("a frame of the rank is no message");
      break;
    }
    frames->push_back(std::move(frame));
  }
  if (!status.ok()) ClosePipe();
  return status;
}

std::string RankLink::StderrTail() const {
  std::string out;
  const std::string& in = stderr_tail_;
  for (size_t i = 0; i < in.size();) {
    const auto lead = static_cast<unsigned char>(in[i]);
    // E0, ED, F0 and F4 have narrower second bytes; '?' for those few characters is good enough.
    size_t length = lead < 0x80                                  ? 1
                    : lead >= 0xc2 && lead < 0xe0                ? 2
                    : lead > 0xe0 && lead < 0xf0 && lead != 0xed ? 3
                    : lead > 0xf0 && lead < 0xf4                 ? 4
                                                                 : 0;
    for (size_t k = 1; k < length; ++k) {
      if (i + k >= in.size() || (static_cast<unsigned char>(in[i + k]) & 0xc0) != 0x80) length = 0;
    }
    out += length == 0 ? std::string("?") : in.substr(i, length);
    i += length == 0 ? 1 : length;
  }
  return out;
}

void RankLink::ReadStderr() {
  std::array<char, 16384> part;  // not cleared: read fills what is used
  // Bounded: a rank that prints without end must not hold the loop.
  for (int turn = 0; turn < 16 && stderr_fd_ >= 0; ++turn) {
    const ssize_t n = read(stderr_fd_, part.data(), part.size());
    if (n > 0) {
      stderr_tail_.append(part.data(), static_cast<size_t>(n));
      if (stderr_tail_.size() > kStderrTailBytes) {
        stderr_tail_.erase(0, stderr_tail_.size() - kStderrTailBytes);
      }
      if (static_cast<size_t>(n) < part.size()) return;
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return;
    } else {
      close(stderr_fd_);
      stderr_fd_ = -1;
    }
  }
}

}  // namespace rackmark
