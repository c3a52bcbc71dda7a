// A non-blocking TCP socket with deadlines and an abort. Internal to kernels/host_channel_tcp.cc.
// One thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "common/status.h"
#include "common/time.h"
#include "kernels/host_channel_tcp.h"

namespace rackmark::tcp_internal {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket();
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  int fd() const { return fd_; }

  // Appends what has come, until `text` has `bytes`. DEADLINE_EXCEEDED leaves in `text` what came.
  // UNAVAILABLE: aborted, closed or broken.
  absl::Status ReadTo(size_t bytes, std::string* text, Nanos deadline, const ChannelAbort& abort);
  // What lies ready, at most `bytes`; nothing is no error.
  absl::Status ReadReady(size_t bytes, std::string* text);
  absl::Status Write(std::string_view text, Nanos deadline, const ChannelAbort& abort);
  // Until one of POLLIN, POLLOUT in `events` holds.
  absl::Status Await(short events, Nanos deadline, const ChannelAbort& abort) const;

 private:
  int fd_ = -1;
};

// "1.2.3.4:5" or "[::1]:5".
absl::StatusOr<Socket> Dial(const std::string& address, Nanos deadline, const ChannelAbort& abort);
// On the first address of the interface, on any free port; its address too.
absl::StatusOr<std::pair<Socket, std::string>> Listen(const std::string& interface);
// The next connection, or nothing (a socket with fd -1).
Socket AcceptReady(int listener);

}  // namespace rackmark::tcp_internal
