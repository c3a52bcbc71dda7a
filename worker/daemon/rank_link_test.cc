// The pipe to a rank over a socket pair, and real processes.
#include "worker/daemon/rank_link.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "common/program.h"
#include "common/test_folder.h"
#include "common/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/daemon/leftovers.h"
#include "worker/daemon/process.h"
#include "worker/device/telemetry.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

class RankLinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair_.data()), 0);
    ASSERT_EQ(pipe2(output_.data(), O_NONBLOCK), 0);
    link_ = std::make_unique<RankLink>(pair_[0], output_[0]);
  }
  void TearDown() override {
    if (pair_[1] >= 0) close(pair_[1]);
    if (output_[1] >= 0) close(output_[1]);
  }
  std::array<int, 2> pair_{}, output_{};
  std::unique_ptr<RankLink> link_;
};

v1::ToRank Big(size_t bytes) {
  v1::ToRank frame;
  frame.mutable_init()->set_host_id(std::string(bytes, 'x'));
  return frame;
}

TEST_F(RankLinkTest, FramesBothWays) {
  v1::ToRank out;
  out.mutable_stop();
  ASSERT_TRUE(link_->Send(out).ok());
  FrameReader far;
  ASSERT_TRUE(far.ReadSome(pair_[1]).ok());
  EXPECT_EQ(far.Next(), out.SerializeAsString());
  v1::FromRank in;
  in.mutable_status()->set_phase(v1::RANK_PHASE_READY);
  ASSERT_TRUE(WriteFrame(pair_[1], in.SerializeAsString()).ok());
  std::vector<v1::FromRank> frames;
  ASSERT_TRUE(link_->Receive(&frames).ok());
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].status().phase(), v1::RANK_PHASE_READY);
}

TEST_F(RankLinkTest, ARankThatDoesNotReadMeetsTheBound) {
  absl::Status status;
  int sent = 0;
  while (status.ok() && sent < 100) {
    status = link_->Send(Big(1 << 20));
    sent += status.ok() ? 1 : 0;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(link_->wants_write());
  // What was queued arrives whole once it reads.
  FrameReader far;
  int received = 0;
  while (received < sent) {
    ASSERT_TRUE(link_->Flush().ok());
    ASSERT_TRUE(far.ReadSome(pair_[1]).ok());
    while (far.Next()) ++received;
  }
  EXPECT_FALSE(link_->wants_write());
}

TEST_F(RankLinkTest, FramesBeforeTheEndAreStillRead) {
  v1::FromRank in;
  in.mutable_status()->set_note("last word");
  ASSERT_TRUE(WriteFrame(pair_[1], in.SerializeAsString()).ok());
  close(std::exchange(pair_[1], -1));
  std::vector<v1::FromRank> frames;
  while (link_->Receive(&frames).ok()) {
  }
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(link_->pipe_fd(), -1);
  EXPECT_EQ(link_->Send(Big(1)).code(), absl::StatusCode::kUnavailable);
}

TEST_F(RankLinkTest, BytesThatAreNoMessageCloseTheLink) {
  ASSERT_TRUE(WriteFrame(pair_[1], "\xff\xff\xff").ok());
  std::vector<v1::FromRank> frames;
  EXPECT_EQ(link_->Receive(&frames).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(link_->pipe_fd(), -1);
}

TEST_F(RankLinkTest, StderrKeepsItsTailAsUtf8) {
  for (int i = 0; i < 10; ++i) {
    const std::string line(1000, static_cast<char>('a' + i));
    ASSERT_EQ(write(output_[1], line.data(), line.size()), 1000);
  }
  ASSERT_EQ(write(output_[1], "\xc3\xa9\xff\xc3", 4), 4);
  link_->ReadStderr();
  const std::string tail = link_->StderrTail();
  EXPECT_LE(tail.size(), kStderrTailBytes);
  EXPECT_EQ(tail.substr(tail.size() - 5), "j\xc3\xa9??");
  v1::Failure failure;
  failure.set_stderr_tail(tail);
  EXPECT_TRUE(v1::Failure().ParseFromString(failure.SerializeAsString()));
}

// Until `done` or 10 s: polls, because processes end when they end.
template <typename F>
bool WaitFor(F done) {
  const Nanos until = SystemClock().Monotonic() + 10 * kSecond;
  while (!done()) {
    if (SystemClock().Monotonic() > until) return false;
    poll(nullptr, 0, 1);
  }
  return true;
}

TEST(Process, RunsWithPipeAndLastWordsAndIsReapedOnce) {
  // A shell stands in for the program: "--fd 3 --segment NAME" become its $0 to $3.
  const auto runner =
      RealProcesses({.cpu = "/bin/sh", .gpu = ""}, {"-c", "cat <&3; echo gone $3 >&2; exit 7"});
  const auto process = runner->Start(v1::DEVICE_KIND_CPU, "/rackmark-ab");
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ(runner->Reap(process->pid), std::nullopt);
  EXPECT_EQ(getpgid(process->pid), process->pid);
  RankLink link(process->pipe_fd, process->stderr_fd);
  ASSERT_EQ(write(link.pipe_fd(), "hello\n", 6), 6);
  link.ClosePipe();
  std::optional<std::string> how;
  ASSERT_TRUE(WaitFor([&] { return (how = runner->Reap(process->pid)).has_value(); }));
  EXPECT_EQ(*how, "exit status 7");
  link.ReadStderr();
  EXPECT_EQ(link.StderrTail(), "hello\ngone /rackmark-ab\n");
}

TEST(Process, KillTakesTheWholeGroup) {
  const auto runner =
      RealProcesses({.cpu = "/bin/sh", .gpu = ""}, {"-c", "sleep 1000 & echo $!; wait"});
  const auto process = runner->Start(v1::DEVICE_KIND_CPU, "/rackmark-ab");
  ASSERT_TRUE(process.ok());
  RankLink link(process->pipe_fd, process->stderr_fd);
  ASSERT_TRUE(WaitFor([&] {
    link.ReadStderr();
    return !link.StderrTail().empty();
  }));
  const int grandchild = std::stoi(link.StderrTail());
  runner->Kill(process->pid);
  std::optional<std::string> how;
  ASSERT_TRUE(WaitFor([&] { return (how = runner->Reap(process->pid)).has_value(); }));
  EXPECT_THAT(*how, HasSubstr("signal 9"));
  EXPECT_TRUE(WaitFor([&] { return !ProcessStart(MachineFiles(), grandchild); }));
}

TEST(Process, AnAbsentProgramIsAPreconditionWithARemedyForItsKind) {
  const auto runner = RealProcesses({.cpu = "/nowhere/rank", .gpu = "/nowhere/rank-cuda"}, {});
  const absl::Status cpu = runner->Start(v1::DEVICE_KIND_CPU, "/rackmark-ab").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(cpu));
  EXPECT_THAT(std::string(cpu.message()), HasSubstr("CPU ranks, /nowhere/rank: "));
  EXPECT_THAT(std::string(cpu.message()), HasSubstr("--rank-program"));
  const absl::Status gpu = runner->Start(v1::DEVICE_KIND_GPU, "/rackmark-ab").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(gpu));
  EXPECT_THAT(std::string(gpu.message()), HasSubstr("GPU ranks, /nowhere/rank-cuda: "));
  EXPECT_THAT(std::string(gpu.message()), HasSubstr("RACKMARK_CUDA=ON"));
}

TEST(Leftovers, AreKilledAndHoldTheirDeviceUntilTheyAreGone) {
  const std::string folder = TestFolders::New("rm_left");
  std::filesystem::remove_all(folder);
  const auto runner = RealProcesses({.cpu = "/bin/sh", .gpu = ""}, {"-c", "sleep 1000"});
  const auto process = runner->Start(v1::DEVICE_KIND_CPU, "/rackmark-ab");
  ASSERT_TRUE(process.ok());
  const RankLink link(process->pipe_fd, process->stderr_fd);
  {
    auto mine = Leftovers::Open(folder, MachineFiles());
    ASSERT_TRUE(mine.ok());
    ASSERT_TRUE(mine->Add(process->pid, 42, 3, "/rackmark-ab").ok());
    EXPECT_TRUE(mine->KillAndCheck().empty());  // its own ranks are no leftovers
  }
  std::ofstream(folder + "/123x") << "rackmark-rank-1 torn";
  // A pid that somebody else has by now: the start time differs, it must not be touched.
  std::ofstream(folder + "/" + std::to_string(getpid())) << "rackmark-rank-1 1 5 0\n";
  auto next = Leftovers::Open(folder, MachineFiles());
  ASSERT_TRUE(next.ok());
  const auto held = next->KillAndCheck();
  EXPECT_THAT(held, testing::ElementsAre(testing::Pair(3U, 42U)));
  ASSERT_TRUE(WaitFor([&] { return next->KillAndCheck().empty(); }));
  ASSERT_TRUE(WaitFor([&] { return runner->Reap(process->pid).has_value(); }));
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

}  // namespace
}  // namespace rackmark
