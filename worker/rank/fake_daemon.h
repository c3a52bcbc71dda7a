// For tests: plays the daemon of one real rackmark-rank process over a socket pair. Blocking, one
// thread. Not part of any program.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/frame.h"
#include "common/ids.h"
#include "common/shm_name.h"
#include "common/time.h"
#include "rackmark/v1/rank_frame.pb.h"

namespace rackmark {

class FakeDaemon {
 public:
  struct Place {
    uint32_t rank = 0;
    uint32_t world = 1;
    std::string host_id = "test-host";
    Nanos dead_man = 60 * kSecond;
    v1::DeviceKind kind = v1::DEVICE_KIND_CPU;
    int pipe_bytes = 0;  // what the pipe holds that was not read; 0 = the system's size
    v1::TransportPolicy transport = v1::TRANSPORT_POLICY_AUTO;
    std::string interface = {};
  };

  explicit FakeDaemon(const Place& place) {
    std::array<int, 2> fds{};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
    if (place.pipe_bytes > 0) {
      EXPECT_EQ(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &place.pipe_bytes, sizeof(int)), 0);
    }
    pid_ = fork();
    if (pid_ == 0) {
      dup2(fds[1], 3);
      execl(RACKMARK_RANK_PROGRAM, "rackmark-rank", "--fd", "3", "--segment", segment_.c_str(),
            nullptr);
      _exit(127);
    }
    close(fds[1]);
    fd_ = fds[0];
    v1::ToRank frame;
    v1::RankInit* init = frame.mutable_init();
    init->set_lease_id(5);
    init->set_generation(1);
    init->set_rank(place.rank);
    init->set_world_size(place.world);
    init->set_host_id(place.host_id);
    init->set_dead_man_ns(place.dead_man);
    init->set_transport(place.transport);
    init->set_interface(place.interface);
    init->mutable_device()->set_kind(place.kind);
    Send(std::move(frame));
  }
  ~FakeDaemon() {
    Hang();
    // A rank ends by itself at the end of file, and cleans up; SIGKILL is for a broken one.
    if (!exit_code_ && !AwaitExit()) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;

  void Send(v1::ToRank frame) {
    v1::Identity* identity = frame.mutable_identity();
    identity->set_cluster_id("c1");
    identity->set_epoch(3);
    identity->set_protocol_min(kProtocolMin);
    identity->set_protocol_max(kProtocolMax);
    WriteFrame(fd_, frame.SerializeAsString()).IgnoreError();
  }
  void Connect(const std::vector<v1::AddressCard>& cards) {
    v1::ToRank frame;
    for (const v1::AddressCard& card : cards) *frame.mutable_connect()->add_cards() = card;
    Send(std::move(frame));
  }
  void Order(uint64_t run, v1::RunGoal goal, const v1::RunSpec& spec) {
    v1::ToRank frame;
    frame.mutable_run()->set_run_id(run);
    frame.mutable_run()->set_attempt(1);
    frame.mutable_run()->set_goal(goal);
    *frame.mutable_run()->mutable_spec() = spec;
    Send(std::move(frame));
  }
  void Stop() {
    v1::ToRank frame;
    frame.mutable_stop();
    Send(std::move(frame));
  }
  // Closes the socket: the rank reads end of file.
  void Hang() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  // Reads until a frame satisfies `wanted`; missing after 20 s or at the end of the stream.
  std::optional<v1::FromRank> Await(const std::function<bool(const v1::FromRank&)>& wanted) {
    const Nanos deadline = SystemClock().Monotonic() + 20 * kSecond;
    while (SystemClock().Monotonic() < deadline) {
      while (auto payload = reader_.Next()) {
        v1::FromRank frame;
        EXPECT_TRUE(frame.ParseFromString(*payload));
        frames_.push_back(frame);
        if (wanted(frame)) return frame;
      }
      pollfd wait{fd_, POLLIN, 0};
      if (poll(&wait, 1, 100) > 0 && !reader_.ReadSome(fd_).ok()) return std::nullopt;
    }
    return std::nullopt;
  }
  // What the rank's segment is to be called.
  const std::string& segment() const { return segment_; }
  std::optional<v1::AddressCard> AwaitCard() {
    const auto frame = Await([](const v1::FromRank& f) { return f.has_card(); });
    if (!frame) return std::nullopt;
    return frame->card();
  }
  // The status that reached this phase, or FAILED.
  std::optional<v1::RankStatus> AwaitPhase(v1::RankPhase phase) {
    const auto frame = Await([phase](const v1::FromRank& f) {
      return f.has_status() &&
             (f.status().phase() == phase || f.status().phase() == v1::RANK_PHASE_FAILED);
    });
    if (!frame) return std::nullopt;
    return frame->status();
  }
  // The process's exit code; missing if it still lives after 10 s or died of a signal.
  std::optional<int> AwaitExit() {
    const Nanos deadline = SystemClock().Monotonic() + 10 * kSecond;
    while (SystemClock().Monotonic() < deadline) {
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        return WIFEXITED(status) ? exit_code_ : std::nullopt;
      }
      poll(nullptr, 0, 5);
    }
    return std::nullopt;
  }

  const std::vector<v1::FromRank>& frames() const { return frames_; }

 private:
  const std::string segment_ = std::string(kSegmentPrefix) + RandomHex(16);
  int fd_ = -1;
  pid_t pid_ = -1;
  FrameReader reader_;
  std::vector<v1::FromRank> frames_;
  std::optional<int> exit_code_;
};

}  // namespace rackmark
