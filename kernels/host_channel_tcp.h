// The host channel of a gang that spans hosts: rank 0 sends over TCP to the leader of every other
// host, which passes on through its host's own ring. Plain TCP on the named interface; a connection
// must begin with the nonce of rank 0's address card. One thread per end; abort from any.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/host_channel.h"
#include "kernels/tree_plan.h"

namespace rackmark {

constexpr size_t kChannelNonceBytes = 16;

// Ends all waits of the channel that was made with it, now and later, and closes its connections,
// which ends those of the peers. Thread-safe.
class ChannelAbort {
 public:
  ChannelAbort();
  ~ChannelAbort();
  ChannelAbort(const ChannelAbort&) = delete;
  ChannelAbort& operator=(const ChannelAbort&) = delete;
  void Trigger();
  // A connection of the channel.
  void Closes(int socket);
  bool triggered() const { return triggered_.load(); }
  int fd() const { return fd_; }  // readable once triggered

 private:
  int fd_;
  std::atomic<bool> triggered_{false};
  std::mutex mutex_;
  std::vector<int> sockets_;  // guarded by mutex_; descriptors of our own
};

struct TcpChannelOptions {
  HostGroups groups;
  int rank = 0;
  int world = 0;
  std::unique_ptr<HostChannel> local;  // this host's ring; null where it has one rank
  std::shared_ptr<ChannelAbort> abort;
  Nanos limit = 0;  // for the meeting
};

// Rank 0's side, from the time of its card on.
class ChannelListener {
 public:
  // UNAVAILABLE: no such interface, or it has no address.
  static absl::StatusOr<std::unique_ptr<ChannelListener>> Open(const std::string& interface);
  ~ChannelListener();
  ChannelListener(const ChannelListener&) = delete;
  ChannelListener& operator=(const ChannelListener&) = delete;

  const std::string& address() const { return address_; }  // "10.0.0.1:4711", "[::1]:4711"
  const std::string& nonce() const { return nonce_; }
  // Waits for all leaders. Who does not know the nonce, or takes too long to say it, is dropped.
  absl::StatusOr<std::unique_ptr<HostChannel>> Accept(TcpChannelOptions options);

 private:
  ChannelListener() = default;
  int fd_ = -1;
  std::string address_;
  std::string nonce_;
};

// All other ranks. Leaders connect to rank 0; the others of a host only use its ring.
absl::StatusOr<std::unique_ptr<HostChannel>> DialHostChannel(TcpChannelOptions options,
                                                             const std::string& address,
                                                             const std::string& nonce);

}  // namespace rackmark
