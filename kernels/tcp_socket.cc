#include "kernels/tcp_socket.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace rackmark::tcp_internal {
namespace {

constexpr int kBacklog = 128;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

std::string Text(const sockaddr_storage& storage) {
  char host[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
    return absl::StrCat(host, ":", ntohs(v4.sin_port));
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
  inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
  return absl::StrCat("[", host, "]:", ntohs(v6.sin6_port));
}

absl::StatusOr<Address> Parse(const std::string& text) {
  const size_t colon = text.rfind(':');
  const absl::Status bad =
      absl::InvalidArgumentError(absl::StrCat("host channel: no address: ", text));
  if (colon == std::string::npos || colon + 1 == text.size()) return bad;
  const int port = std::atoi(text.c_str() + colon + 1);
  if (port < 1 || port > 65535) return bad;
  Address address;
  if (text[0] == '[' && colon > 2 && text[colon - 1] == ']') {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof(v6);
    if (inet_pton(AF_INET6, text.substr(1, colon - 2).c_str(), &v6.sin6_addr) != 1) return bad;
    return address;
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(static_cast<uint16_t>(port));
  address.size = sizeof(v4);
  if (inet_pton(AF_INET, text.substr(0, colon).c_str(), &v4.sin_addr) != 1) return bad;
  return address;
}

// IPv4 first, because that is what Gloo's peers find on most machines; no link-local IPv6, whose
// address says nothing without a scope.
absl::StatusOr<Address> AddressOf(const std::string& interface) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return ErrnoStatus(errno, "getifaddrs");
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owned(list, &freeifaddrs);
  for (const int family : {AF_INET, AF_INET6}) {
    for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
      if (interface != entry->ifa_name || entry->ifa_addr == nullptr) continue;
      if (entry->ifa_addr->sa_family != family) continue;
      Address address;
      address.size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      std::memcpy(&address.storage, entry->ifa_addr, address.size);
      const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
      if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) continue;
      return address;
    }
  }
  return absl::UnavailableError(
      absl::StrCat("the interface ", interface, " does not exist or has no address"));
}

// Step plans are small and waited for.
void SendAtOnce(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

absl::Status Closed() { return absl::UnavailableError("the host channel's connection was closed"); }

}  // namespace

Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}

absl::Status Socket::Await(short events, Nanos deadline, const ChannelAbort& abort) const {
  while (true) {
    if (abort.triggered()) return absl::UnavailableError("host channel aborted");
    const Nanos left = deadline - SystemClock().Monotonic();
    if (left <= 0) return absl::DeadlineExceededError("host channel: too late");
    pollfd fds[] = {{fd_, events, 0}, {abort.fd(), POLLIN, 0}};
    const Nanos millis = std::min<Nanos>((left + kMillisecond - 1) / kMillisecond, INT_MAX);
    if (poll(fds, 2, static_cast<int>(millis)) < 0 && errno != EINTR) {
      return ErrnoStatus(errno, "poll");
    }
    if (fds[0].revents != 0) return absl::OkStatus();  // errors too: the next call names them
  }
}

absl::Status Socket::ReadReady(size_t bytes, std::string* text) {
  char buffer[4096];
  while (bytes > 0) {
    const ssize_t got = recv(fd_, buffer, std::min(bytes, sizeof(buffer)), 0);
    if (got > 0) {
      text->append(buffer, static_cast<size_t>(got));
      bytes -= static_cast<size_t>(got);
      continue;
    }
    if (got == 0) return Closed();
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("host channel: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

absl::Status Socket::ReadTo(size_t bytes, std::string* text, Nanos deadline,
                            const ChannelAbort& abort) {
  while (true) {
    RETURN_IF_ERROR(ReadReady(bytes - std::min(bytes, text->size()), text));
    if (text->size() >= bytes) return absl::OkStatus();
    RETURN_IF_ERROR(Await(POLLIN, deadline, abort));
  }
}

absl::Status Socket::Write(std::string_view text, Nanos deadline, const ChannelAbort& abort) {
  while (!text.empty()) {
    const ssize_t sent = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      text.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      RETURN_IF_ERROR(Await(POLLOUT, deadline, abort));
    } else if (errno != EINTR) {
      return absl::UnavailableError(absl::StrCat("host channel: ", std::strerror(errno)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Socket> Dial(const std::string& text, Nanos deadline, const ChannelAbort& abort) {
  ASSIGN_OR_RETURN(const Address address, Parse(text));
  Socket socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) return ErrnoStatus(errno, "socket");
  SendAtOnce(socket.fd());
  if (connect(socket.fd(), address.get(), address.size) != 0 && errno != EINPROGRESS) {
    return absl::UnavailableError(
        absl::StrCat("host channel: cannot reach ", text, ": ", std::strerror(errno)));
  }
  RETURN_IF_ERROR(socket.Await(POLLOUT, deadline, abort));
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("host channel: cannot reach ", text, ": ", std::strerror(error)));
  }
  return socket;
}

absl::StatusOr<std::pair<Socket, std::string>> Listen(const std::string& interface) {
  ASSIGN_OR_RETURN(Address address, AddressOf(interface));
  Socket socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) return ErrnoStatus(errno, "socket");
  if (bind(socket.fd(), address.get(), address.size) != 0 || listen(socket.fd(), kBacklog) != 0) {
    return absl::UnavailableError(absl::StrCat("the interface ", interface,
                                               " cannot be listened on: ", std::strerror(errno)));
  }
  address.size = sizeof(address.storage);
  if (getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0) {
    return ErrnoStatus(errno, "getsockname");
  }
  std::string text = Text(address.storage);
  return std::pair<Socket, std::string>(std::move(socket), std::move(text));
}

Socket AcceptReady(int listener) {
  const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) SendAtOnce(fd);
  return Socket(fd);
}

}  // namespace rackmark::tcp_internal
