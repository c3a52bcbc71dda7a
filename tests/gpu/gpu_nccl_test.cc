// The NCCL collective: a world of one really, and two ranks on one GPU, which NCCL allows when each
// pretends to be on a host of its own. That is a test of function and never of speed: the two take
// turns on the GPU and talk through sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "common/program.h"
#include "kernels/cuda/collective_nccl.h"
#include "kernels/verify.h"
#include "tests/gpu/gpu_fixture.h"

namespace rackmark {
namespace {

using testing::HasSubstr;

void Stuck(std::string_view step) {
  std::fprintf(stderr, "stuck in %.*s\n", static_cast<int>(step.size()), step.data());
  std::abort();
}

class GpuNccl : public GpuTest {
 protected:
  std::unique_ptr<NcclCollective> Solo(bool native_order) {
    NcclCollective::Options options;
    options.id = *MakeNcclId();
    options.native_order = native_order;
    options.on_stuck = Stuck;
    auto made =
        NcclCollective::Connect(gpu_->device.get(), &gpu_->stream, gpu_->ops.get(), options);
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *std::move(made) : nullptr;
  }
};

TEST_F(GpuNccl, AWorldOfOneComputesExactly) {
  for (const bool native_order : {false, true}) {
    const auto solo = Solo(native_order);
    ASSERT_NE(solo, nullptr);
    EXPECT_EQ(solo->Verify(1, 10'007), absl::OkStatus());
    EXPECT_EQ(solo->Verify(2, (size_t{4} << 20) + 3), absl::OkStatus());  // more than one piece
    const auto timing = solo->Barrier();
    ASSERT_TRUE(timing.ok()) << timing.status();
    EXPECT_GT(timing->transfer, 0);
    const DeviceBuffer data = Put(std::vector<float>{1, 2, 3});
    ASSERT_TRUE(solo->Broadcast(0, data.data(), 12).ok());
    EXPECT_EQ(Get<float>(data, 3), (std::vector<float>{1, 2, 3}));
    EXPECT_TRUE(solo->Close().ok());
    EXPECT_TRUE(absl::IsUnavailable(solo->Barrier().status()));
  }
}

TEST_F(GpuNccl, AnAbortEndsItForGood) {
  const auto solo = Solo(false);
  ASSERT_NE(solo, nullptr);
  solo->Abort();
  EXPECT_TRUE(absl::IsUnavailable(solo->Barrier().status()));
  const absl::Status later = solo->AllReduceSum(nullptr, 0).status();
  EXPECT_TRUE(absl::IsUnavailable(later));
  EXPECT_THAT(std::string(later.message()), HasSubstr("has ended"));
}

TEST_F(GpuNccl, AForeignIdIsRefused) {
  NcclCollective::Options options;
  options.id = "short";
  options.on_stuck = Stuck;
  EXPECT_TRUE(absl::IsInvalidArgument(
      NcclCollective::Connect(gpu_->device.get(), &gpu_->stream, gpu_->ops.get(), options)
          .status()));
}

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

// A rank in a process of its own, with lines in and out.
class Peer {
 public:
  Peer(int rank, int world, const std::string& what, bool native_order) {
    std::array<int, 2> in{}, out{};
    EXPECT_EQ(pipe(in.data()) + pipe(out.data()), 0);
    const std::string self = *ProgramFolder() + "/gpu_test";
    std::vector<std::string> words = {self, "--nccl-peer", std::to_string(rank),
                                      std::to_string(world), what};
    if (native_order) words.push_back("native");
    std::vector<std::string> variables = {absl::StrCat("NCCL_HOSTID=rackmark-test-host-", rank),
                                          "NCCL_NET=Socket",
                                          "NCCL_SOCKET_IFNAME=lo",
                                          "NCCL_IB_DISABLE=1",
                                          "NCCL_NVLS_ENABLE=0",
                                          "NCCL_MAX_CTAS=2"};
    for (char** variable = environ; *variable != nullptr; ++variable) {
      if (std::string_view(*variable).substr(0, 5) != "NCCL_") variables.push_back(*variable);
    }
    // Made before the fork: this process has threads of CUDA's, so the child may only exec.
    const std::vector<char*> argv = Pointers(words), envp = Pointers(variables);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      dup2(out[1], 2);
      for (const int fd : {in[0], in[1], out[0], out[1]}) close(fd);
      execve(self.c_str(), argv.data(), envp.data());
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    in_ = in[1];
    out_ = fdopen(out[0], "r");
  }
  ~Peer() {
    close(in_);
    if (!status_) Kill();
    fclose(out_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // The next line that begins with `prefix`; everything that it said, if none came.
  std::string Await(std::string_view prefix) {
    std::array<char, 4096> line{};
    while (fgets(line.data(), line.size(), out_) != nullptr) {
      said_ += line.data();
      if (std::string_view(line.data()).substr(0, prefix.size()) == prefix) return line.data();
    }
    return "the end of: " + said_;
  }
  void Say(const std::string& line) {
    EXPECT_EQ(write(in_, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }
  void Kill() {
    kill(pid_, SIGKILL);
    Wait();
  }
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    status_ = status;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_ = 0;
  int in_ = -1;
  FILE* out_ = nullptr;
  std::optional<int> status_;
  std::string said_;
};

TEST_F(GpuNccl, TwoRanksOnOneGpuComputeExactly) {
  for (const bool native_order : {false, true}) {
    Peer zero(0, 2, "verify", native_order);
    Peer one(1, 2, "verify", native_order);
    const std::string id = zero.Await("");
    zero.Say(id);
    one.Say(id);
    EXPECT_THAT(zero.Await("result"), HasSubstr("result OK"));
    EXPECT_THAT(one.Await("result"), HasSubstr("result OK"));
    EXPECT_EQ(zero.Wait(), 0);
    EXPECT_EQ(one.Wait(), 0);
  }
}

TEST_F(GpuNccl, AMeetingThatNobodyComesToEndsAtItsLimit) {
  Peer zero(0, 2, "lonely", false);
  zero.Say(zero.Await(""));
  EXPECT_THAT(zero.Await("result"), HasSubstr("DEADLINE_EXCEEDED"));
  // Aborted, or ended by the guard: either way it does not hang.
  EXPECT_THAT(zero.Wait(), testing::AnyOf(1, 3));
}

TEST_F(GpuNccl, APeersDeathEndsTheWaitOfTheOther) {
  Peer zero(0, 2, "orphan", false);
  Peer one(1, 2, "dies", false);
  const std::string id = zero.Await("");
  zero.Say(id);
  one.Say(id);
  EXPECT_EQ(zero.Await("met"), "met\n");
  EXPECT_EQ(one.Await("met"), "met\n");
  one.Kill();
  zero.Say("go on\n");
  EXPECT_THAT(zero.Await("result"),
              testing::AnyOf(HasSubstr("DEADLINE_EXCEEDED"), HasSubstr("UNAVAILABLE"),
                             HasSubstr("INTERNAL")));
  EXPECT_THAT(zero.Wait(), testing::AnyOf(1, 3));
}

}  // namespace
}  // namespace rackmark
