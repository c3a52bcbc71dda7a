// Length-prefixed messages on a byte stream between a daemon and a rank: 4 bytes little-endian
// length, then the payload. Knows bytes only. A FrameReader belongs to one thread; WriteFrame may
// be called from several threads only under the caller's lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/status.h"

namespace rackmark {

constexpr size_t kFrameBytesMax = 4 << 20;

// Writes the whole frame, waiting while the stream is full. EPIPE is UNAVAILABLE, never a signal.
absl::Status WriteFrame(int fd, std::string_view payload);

// Cuts frames out of bytes as they arrive.
class FrameReader {
 public:
  // Reads what is there (one read call). UNAVAILABLE at the end of the stream; OK with nothing new
  // if the descriptor is non-blocking and empty. DATA_LOSS if a length is over the bound.
  absl::Status ReadSome(int fd);
  // The next whole frame, if one has arrived.
  std::optional<std::string> Next();
  // For tests and replays: bytes without a descriptor.
  absl::Status Feed(std::string_view bytes);

 private:
  absl::Status CheckLength() const;

  std::string buffer_;
  size_t start_ = 0;
};

}  // namespace rackmark
