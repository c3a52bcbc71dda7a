#include "common/frame.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace rackmark {
namespace {

constexpr size_t kPrefix = 4;

uint32_t Length(const char* p) {
  std::array<unsigned char, kPrefix> b{};
  std::memcpy(b.data(), p, kPrefix);
  return static_cast<uint32_t>(b[0]) | static_cast<uint32_t>(b[1]) << 8 |
         static_cast<uint32_t>(b[2]) << 16 | static_cast<uint32_t>(b[3]) << 24;
}

absl::Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    // MSG_NOSIGNAL: a dead peer is an error to handle, not the end of this process.
    const ssize_t n = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      pollfd wait{fd, POLLOUT, 0};
      poll(&wait, 1, -1);
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return absl::UnavailableError("the other end of the pipe is gone");
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "send on the rank pipe");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteFrame(int fd, std::string_view payload) {
  if (payload.size() > kFrameBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("frame of ", payload.size(), " bytes is over the bound of ", kFrameBytesMax));
  }
  std::string frame;
  frame.reserve(kPrefix + payload.size());
  const auto size = static_cast<uint32_t>(payload.size());
  for (int shift = 0; shift < 32; shift += 8) frame += static_cast<char>((size >> shift) & 0xff);
  frame += payload;
  return WriteAll(fd, frame);
}

absl::Status FrameReader::ReadSome(int fd) {
  std::array<char, 65536> chunk;  // not cleared: read fills what is used
  const ssize_t n = read(fd, chunk.data(), chunk.size());
  if (n > 0) return Feed({chunk.data(), static_cast<size_t>(n)});
  if (n == 0) return absl::UnavailableError("end of the rank pipe");
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return absl::OkStatus();
  if (errno == ECONNRESET) return absl::UnavailableError("the rank pipe was reset");
  return ErrnoStatus(errno, "read on the rank pipe");
}

absl::Status FrameReader::Feed(std::string_view bytes) {
  if (start_ > 0 && start_ == buffer_.size()) {
    buffer_.clear();
    start_ = 0;
  }
  buffer_ += bytes;
  return CheckLength();
}

// Of every frame that has begun, not of the first alone: the bytes that would tell may be the last.
absl::Status FrameReader::CheckLength() const {
  for (size_t at = start_; buffer_.size() - at >= kPrefix;) {
    const uint32_t length = Length(buffer_.data() + at);
    if (length > kFrameBytesMax) {
      return absl::DataLossError(absl::StrCat("a frame of ", length, " bytes is over the bound of ",
                                              kFrameBytesMax, "; the stream is broken"));
    }
    if (buffer_.size() - at - kPrefix < length) break;
    at += kPrefix + length;
  }
  return absl::OkStatus();
}

std::optional<std::string> FrameReader::Next() {
  if (buffer_.size() - start_ < kPrefix) return std::nullopt;
  const size_t length = Length(buffer_.data() + start_);
  if (length > kFrameBytesMax || buffer_.size() - start_ - kPrefix < length) return std::nullopt;
  std::string payload = buffer_.substr(start_ + kPrefix, length);
  start_ += kPrefix + length;
  if (start_ > (1U << 20)) {
    buffer_.erase(0, start_);
    start_ = 0;
  }
  return payload;
}

}  // namespace rackmark
