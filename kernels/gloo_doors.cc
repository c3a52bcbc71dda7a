#include "kernels/gloo_doors.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "common/time.h"

namespace rackmark::gloo_internal {
namespace {

// For doors of other machines, all together; those of this one answer at once.
constexpr Nanos kPatience = kSecond;
constexpr size_t kCallsAtOnce = 64;

// Where `owner` listens for `visitor`: a card holds one address for each other rank, in order.
std::string DoorOf(const std::vector<std::string>& cards, size_t owner, size_t visitor) {
  const std::string& card = cards[owner];
  const size_t each = card.size() / (cards.size() - 1);
  return card.substr((visitor > owner ? visitor - 1 : visitor) * each, each);
}

// A connection on its way, or -1.
int Approach(const std::string& door) {
  sockaddr_storage address{};  // what Gloo's addresses begin with
  if (door.size() < sizeof(address)) return -1;
  std::memcpy(&address, door.data(), sizeof(address));
  const bool v4 = address.ss_family == AF_INET;
  if (!v4 && address.ss_family != AF_INET6) return -1;
  const int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  // What connect answers is of no use: the poll tells when it is over, either way.
  if (fd >= 0) {
    [[maybe_unused]] const int begun =
        connect(fd, reinterpret_cast<const sockaddr*>(&address),
                v4 ? socklen_t{sizeof(sockaddr_in)} : socklen_t{sizeof(sockaddr_in6)});
  }
  return fd;
}

}  // namespace

void Knock(const std::vector<std::string>& cards, int rank) {
  if (cards.size() < 2) return;
  const auto self = static_cast<size_t>(rank);
  std::vector<std::string> own, others;
  for (size_t owner = 0; owner < cards.size(); ++owner) {
    for (size_t visitor = 0; visitor < cards.size(); ++visitor) {
      if (visitor == owner) continue;
      (owner == self ? own : others).push_back(DoorOf(cards, owner, visitor));
    }
  }
  const Nanos deadline = SystemClock().Monotonic() + kPatience;
  own.insert(own.end(), others.begin(), others.end());
  for (size_t first = 0; first < own.size(); first += kCallsAtOnce) {
    if (SystemClock().Monotonic() >= deadline) return;
    std::vector<pollfd> calls;
    for (size_t i = first; i < std::min(own.size(), first + kCallsAtOnce); ++i) {
      if (const int fd = Approach(own[i]); fd >= 0) calls.push_back({fd, POLLOUT, 0});
    }
    for (pollfd& call : calls) {
      const Nanos left = deadline - SystemClock().Monotonic();
      poll(&call, 1, left > 0 ? static_cast<int>(left / kMillisecond) : 0);
      close(call.fd);
    }
  }
}

}  // namespace rackmark::gloo_internal
