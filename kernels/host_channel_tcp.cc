#include "kernels/host_channel_tcp.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "kernels/tcp_socket.h"

namespace rackmark {
namespace {

using tcp_internal::Socket;

// A connection: magic, nonce, rank; answered by the magic. Then messages one way, a length before
// each, and one byte back for each that was passed on.
constexpr std::string_view kMagic("RMKCHAN1");
constexpr size_t kHelloBytes = kMagic.size() + kChannelNonceBytes + sizeof(uint32_t);
constexpr Nanos kHelloLimit = 10 * kSecond;
// Connections that have not said the nonce yet: all leaders of the largest gang at once, and more.
// The one that has been silent for longest goes first, so that nobody can keep the leaders out.
constexpr size_t kStrangersMax = 256;
// As deep as the ring in shared memory: a leader that is further behind holds the sender.
constexpr uint64_t kWindow = 8;
constexpr Nanos kWriteGrace = 10 * kSecond;  // for bytes that the window has promised room

std::string Number(uint32_t value) {
  std::string bytes(sizeof(value), '\0');
  for (size_t i = 0; i < sizeof(value); ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

uint32_t NumberIn(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < sizeof(value); ++i) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return value;
}

// Rank 0's end.
class SendingChannel : public HostChannel {
 public:
  SendingChannel(TcpChannelOptions options, std::map<int, Socket> leaders)
      : options_(std::move(options)) {
    for (auto& [rank, socket] : leaders) {
      options_.abort->Closes(socket.fd());
      leaders_.push_back({rank, std::move(socket), 0});
    }
  }

  int rank() const override { return options_.rank; }
  int world() const override { return options_.world; }

  absl::StatusOr<Nanos> Send(std::string_view message, Nanos limit) override {
    if (message.size() > kHostMessageMax) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a host channel message has at most ", kHostMessageMax, " bytes, not ", message.size()));
    }
    const Nanos start = SystemClock().Monotonic();
    // Room everywhere first: a message goes to all or to none.
    for (Leader& leader : leaders_) RETURN_IF_ERROR(AwaitRoom(leader, start + limit));
    if (options_.local) {
      const Nanos left = start + limit - SystemClock().Monotonic();
      RETURN_IF_ERROR(options_.local->Send(message, std::max<Nanos>(0, left)));
    }
    std::string bytes = Number(static_cast<uint32_t>(message.size()));
    bytes.append(message);
    for (Leader& leader : leaders_) {
      const Nanos deadline = start + limit + kWriteGrace;
      if (const absl::Status s = leader.socket.Write(bytes, deadline, *options_.abort); !s.ok()) {
        options_.abort->Trigger();  // half a message may be out
        return To(leader, absl::Status(absl::StatusCode::kUnavailable, s.message()));
      }
    }
    ++sent_;
    return SystemClock().Monotonic() - start;
  }

  absl::StatusOr<Nanos> Receive(std::string&, Nanos) override {
    RACKMARK_CHECK(false);
    return absl::InternalError("rank 0 receives nothing");
  }

 private:
  struct Leader {
    int rank;
    Socket socket;
    uint64_t taken;
  };

  static absl::Status To(const Leader& leader, const absl::Status& status) {
    return absl::Status(status.code(),
                        absl::StrCat(status.message(), " (to rank ", leader.rank, ")"));
  }

  absl::Status AwaitRoom(Leader& leader, Nanos deadline) {
    while (true) {
      std::string acks;
      const absl::Status read = leader.socket.ReadReady(sent_ - leader.taken, &acks);
      if (!read.ok()) return To(leader, read);
      leader.taken += acks.size();
      if (options_.abort->triggered()) return absl::UnavailableError("host channel aborted");
      if (sent_ - leader.taken < kWindow) return absl::OkStatus();
      const absl::Status status = leader.socket.Await(POLLIN, deadline, *options_.abort);
      if (absl::IsDeadlineExceeded(status)) {
        return absl::DeadlineExceededError(absl::StrCat("host channel: rank ", leader.rank, " is ",
                                                        sent_ - leader.taken, " messages behind"));
      }
      RETURN_IF_ERROR(status);
    }
  }

  const TcpChannelOptions options_;
  std::vector<Leader> leaders_;
  uint64_t sent_ = 0;
};

// All others' end. Without a socket: not the leader of its host.
class ReceivingChannel : public HostChannel {
 public:
  ReceivingChannel(TcpChannelOptions options, Socket socket)
      : options_(std::move(options)), socket_(std::move(socket)) {
    if (socket_.fd() >= 0) options_.abort->Closes(socket_.fd());
  }

  int rank() const override { return options_.rank; }
  int world() const override { return options_.world; }

  absl::StatusOr<Nanos> Send(std::string_view, Nanos) override {
    RACKMARK_CHECK(false);
    return absl::InternalError("only rank 0 sends");
  }

  absl::StatusOr<Nanos> Receive(std::string& message, Nanos limit) override {
    if (socket_.fd() < 0) return options_.local->Receive(message, limit);
    const Nanos start = SystemClock().Monotonic();
    const Nanos deadline = start + limit;
    RETURN_IF_ERROR(Read(deadline, limit));
    const Nanos wait = SystemClock().Monotonic() - start;
    const std::string_view body = std::string_view(partial_).substr(sizeof(uint32_t));
    if (options_.local) {
      // At its deadline the message stays here, and is passed on by the next call.
      const Nanos left = std::max<Nanos>(kMillisecond, deadline - SystemClock().Monotonic());
      RETURN_IF_ERROR(options_.local->Send(body, left));
    }
    RETURN_IF_ERROR(socket_.Write("+", deadline + kWriteGrace, *options_.abort));
    message.assign(body);
    partial_.clear();
    return wait;
  }

 private:
  absl::Status Read(Nanos deadline, Nanos limit) {
    const auto some = [&](size_t bytes) {
      const absl::Status status = socket_.ReadTo(bytes, &partial_, deadline, *options_.abort);
      if (!absl::IsDeadlineExceeded(status)) return status;
      return absl::DeadlineExceededError(
          absl::StrCat("no message from rank 0 in ", FormatDuration(limit)));
    };
    RETURN_IF_ERROR(some(sizeof(uint32_t)));
    const size_t bytes = NumberIn(partial_);
    if (bytes > kHostMessageMax) {
      return absl::InternalError(
          absl::StrCat("host channel: a message of ", bytes, " bytes; rank 0 is of another build"));
    }
    return some(sizeof(uint32_t) + bytes);
  }

  const TcpChannelOptions options_;
  Socket socket_;
  std::string partial_;  // length and message, as far as they came
};

// Everybody who connects to rank 0 before all leaders have.
class Reception {
 public:
  Reception(const TcpChannelOptions& options, const std::string& nonce)
      : options_(options), greeting_(std::string(kMagic) + nonce) {
    for (size_t host = 1; host < options.groups.size(); ++host) {
      awaited_.insert(options.groups[host].front());
    }
  }

  absl::StatusOr<std::map<int, Socket>> Run(int listener) {
    const Nanos deadline = SystemClock().Monotonic() + options_.limit;
    while (!awaited_.empty()) {
      if (options_.abort->triggered()) return absl::UnavailableError("host channel aborted");
      const Nanos now = SystemClock().Monotonic();
      if (now >= deadline) {
        return absl::DeadlineExceededError(
            absl::StrCat("host channel: not connected: ", awaited_.size() == 1 ? "rank " : "ranks ",
                         absl::StrJoin(awaited_, ", ")));
      }
      Poll(listener, deadline - now);
      Socket guest = tcp_internal::AcceptReady(listener);
      if (guest.fd() >= 0) {
        if (strangers_.size() == kStrangersMax) strangers_.erase(strangers_.begin());
        strangers_.push_back({std::move(guest), "", SystemClock().Monotonic() + kHelloLimit});
      }
      Listen();
    }
    return std::move(leaders_);
  }

 private:
  struct Stranger {
    Socket socket;
    std::string hello;
    Nanos deadline;
  };

  void Poll(int listener, Nanos left) {
    std::vector<pollfd> fds = {{listener, POLLIN, 0}, {options_.abort->fd(), POLLIN, 0}};
    for (const Stranger& s : strangers_) fds.push_back({s.socket.fd(), POLLIN, 0});
    const Nanos millis = std::clamp<Nanos>(left / kMillisecond, 1, 1000);
    poll(fds.data(), fds.size(), static_cast<int>(millis));
  }

  void Listen() {
    for (auto it = strangers_.begin(); it != strangers_.end();) {
      it = Keep(*it) ? std::next(it) : strangers_.erase(it);
    }
  }

  // False: became a leader, or is none.
  bool Keep(Stranger& s) {
    const bool open = s.socket.ReadReady(kHelloBytes - s.hello.size(), &s.hello).ok();
    // The magic at once; the nonce only whole, or it could be found out byte by byte.
    const bool whole = s.hello.size() == kHelloBytes;
    const size_t known = whole ? greeting_.size() : std::min(s.hello.size(), kMagic.size());
    if (std::memcmp(s.hello.data(), greeting_.data(), known) != 0) return false;
    if (!whole) return open && SystemClock().Monotonic() < s.deadline;
    const int rank = static_cast<int>(NumberIn(std::string_view(s.hello).substr(known)));
    if (awaited_.count(rank) == 0) return false;
    const Nanos deadline = SystemClock().Monotonic() + kHelloLimit;
    if (!s.socket.Write(kMagic, deadline, *options_.abort).ok()) return false;
    awaited_.erase(rank);
    leaders_[rank] = std::move(s.socket);
    return false;
  }

  const TcpChannelOptions& options_;
  const std::string greeting_;
  std::set<int> awaited_;
  std::vector<Stranger> strangers_;
  std::map<int, Socket> leaders_;
};

}  // namespace

ChannelAbort::ChannelAbort() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  RACKMARK_CHECK(fd_ >= 0);
}
ChannelAbort::~ChannelAbort() {
  for (const int socket : sockets_) close(socket);
  close(fd_);
}
void ChannelAbort::Trigger() {
  std::lock_guard lock(mutex_);
  triggered_.store(true);
  for (const int socket : sockets_) shutdown(socket, SHUT_RDWR);
  const uint64_t one = 1;
  // Never read, so it stays readable; full is as good.
  if (write(fd_, &one, sizeof(one)) < 0) return;
}
void ChannelAbort::Closes(int socket) {
  std::lock_guard lock(mutex_);
  if (triggered()) shutdown(socket, SHUT_RDWR);
  const int own = fcntl(socket, F_DUPFD_CLOEXEC, 0);
  if (own >= 0) sockets_.push_back(own);
}

absl::StatusOr<std::unique_ptr<ChannelListener>> ChannelListener::Open(
    const std::string& interface) {
  ASSIGN_OR_RETURN(auto listening, tcp_internal::Listen(interface));
  std::unique_ptr<ChannelListener> listener(new ChannelListener);
  listener->fd_ = dup(listening.first.fd());
  if (listener->fd_ < 0) return ErrnoStatus(errno, "dup");
  listener->address_ = std::move(listening.second);
  listener->nonce_.resize(kChannelNonceBytes);
  if (getrandom(listener->nonce_.data(), kChannelNonceBytes, 0) != ssize_t{kChannelNonceBytes}) {
    return ErrnoStatus(errno, "getrandom");
  }
  return listener;
}

ChannelListener::~ChannelListener() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<std::unique_ptr<HostChannel>> ChannelListener::Accept(TcpChannelOptions options) {
  RACKMARK_CHECK(options.rank == 0 && options.abort != nullptr);
  ASSIGN_OR_RETURN(auto leaders, Reception(options, nonce_).Run(fd_));
  return std::unique_ptr<HostChannel>(new SendingChannel(std::move(options), std::move(leaders)));
}

absl::StatusOr<std::unique_ptr<HostChannel>> DialHostChannel(TcpChannelOptions options,
                                                             const std::string& address,
                                                             const std::string& nonce) {
  RACKMARK_CHECK(options.rank != 0 && options.abort != nullptr);
  bool leads = false;
  for (const auto& ranks : options.groups) leads = leads || ranks.front() == options.rank;
  Socket socket;
  if (leads) {
    const Nanos deadline = SystemClock().Monotonic() + options.limit;
    ASSIGN_OR_RETURN(socket, tcp_internal::Dial(address, deadline, *options.abort));
    std::string hello(kMagic);
    hello += nonce;
    hello += Number(static_cast<uint32_t>(options.rank));
    RETURN_IF_ERROR(socket.Write(hello, deadline, *options.abort));
    std::string answer;
    RETURN_IF_ERROR(socket.ReadTo(kMagic.size(), &answer, deadline, *options.abort));
    if (answer != kMagic) {
      return absl::UnavailableError(absl::StrCat("host channel: ", address, " is not rank 0"));
    }
  }
  return std::unique_ptr<HostChannel>(new ReceivingChannel(std::move(options), std::move(socket)));
}

}  // namespace rackmark
