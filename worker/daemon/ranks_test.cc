// What the daemon makes of ranks that no test program can play: the processes are made up, and so
// is the time.
#include "worker/daemon/ranks.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "common/ids.h"
#include "common/shm_name.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

constexpr int kPid = 999'999'999;  // above any that Linux gives

// One rank whose process ends when it is killed, as if by `signal`.
class MadeUpProcesses : public ProcessRunner {
 public:
  absl::StatusOr<RankProcess> Start(v1::DeviceKind, const std::string&) override {
    std::array<int, 2> pair{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) != 0) {
      return absl::InternalError("socketpair");
    }
    theirs_ = pair[1];
    return RankProcess{kPid, pair[0], open("/dev/null", O_RDONLY | O_CLOEXEC)};
  }
  void Kill(pid_t) override {
    if (theirs_ >= 0) close(theirs_);
    theirs_ = -1;
    killed_ = true;
  }
  std::optional<std::string> Reap(pid_t) override {
    if (!killed_) return std::nullopt;
    return "killed by signal 11 (Segmentation fault)";
  }

 private:
  int theirs_ = -1;
  bool killed_ = false;
};

class Nobody : public RankListener {
 public:
  void OnTold(const RankRef&, const RunKey&) override {}
  void OnSamples(const RankRef&, const RunKey&, const v1::ChunkPayload&) override {}
  void OnSamplesEnd(const RankRef&, const RunKey&) override {}
  void OnOver(const RankRef&, const RunKey&) override {}
};

class RanksTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "rm_ranks_" + std::to_string(getpid());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(absl::StrCat(root_, "/proc/", kPid));
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  // The failure of a rank that never says anything, after far more than its time.
  v1::Failure AfterSilence(const std::string& proc_status) {
    std::ofstream(absl::StrCat(root_, "/proc/", kPid, "/status")) << proc_status;
    auto leftovers = Leftovers::Open(root_ + "/ranks", MachineFiles(root_));
    EXPECT_TRUE(leftovers.ok()) << leftovers.status();
    MadeUpProcesses processes;
    Nobody nobody;
    LocalState state;
    Ranks::Options options;
    options.node.add_devices()->set_kind(v1::DEVICE_KIND_CPU);
    options.processes = &processes;
    options.leftovers = &*leftovers;
    options.listener = &nobody;
    options.files = MachineFiles(root_);
    options.identity = [] { return v1::Identity(); };
    Ranks ranks(std::move(options), &state);
    const StartRank start{{1, 0}, 1, 1, 0, v1::DEVICE_KIND_CPU, std::nullopt};
    ranks.Do(start, 5 * kSecond, 0);
    for (Nanos now = kSecond; now < 20 * kSecond; now += kSecond) ranks.Service(now);
    const LocalRank& rank = state.leases[1].ranks[0];
    EXPECT_TRUE(rank.reaped);
    return rank.failure.value_or(v1::Failure());
  }

  std::string root_;
};

TEST_F(RanksTest, OneThatIsStoppedSaysNothingAndIsEndedForIt) {
  const v1::Failure failure = AfterSilence("State:\tT (stopped)\nCoreDumping:\t0\n");
  EXPECT_EQ(failure.kind(), v1::FAILURE_KIND_RANK_FAILED);
  EXPECT_NE(failure.detail().find("said nothing for 5 s"), std::string::npos) << failure.detail();
}

TEST_F(RanksTest, OneThatIsStillDumpingItsCoreHasDiedOfItsSignal) {
  const v1::Failure failure = AfterSilence("State:\tD (disk sleep)\nCoreDumping:\t1\n");
  EXPECT_EQ(failure.kind(), v1::FAILURE_KIND_RANK_DIED);
  EXPECT_NE(failure.detail().find("signal 11"), std::string::npos) << failure.detail();
}

// Rank and daemon were killed at once: the next incarnation clears away what is left.
TEST_F(RanksTest, TheSegmentOfAFormerIncarnationsRankIsRemovedOnceThatIsGone) {
  const std::string name = std::string(kSegmentPrefix) + RandomHex(16);
  const int fd = shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
  ASSERT_GE(fd, 0);
  close(fd);
  std::filesystem::create_directories(root_ + "/ranks");
  std::ofstream(absl::StrCat(root_, "/ranks/", kPid)) << "rackmark-rank-1 5 1 0 " << name << "\n";
  // One of an older build, and one that names what is not ours.
  std::ofstream(absl::StrCat(root_, "/ranks/", kPid - 1)) << "rackmark-rank-1 5 1 0\n";
  std::ofstream(absl::StrCat(root_, "/ranks/", kPid - 2)) << "rackmark-rank-1 5 1 0 /dev/null\n";
  auto leftovers = Leftovers::Open(root_ + "/ranks", MachineFiles(root_));
  ASSERT_TRUE(leftovers.ok()) << leftovers.status();
  EXPECT_TRUE(std::filesystem::exists("/dev/shm" + name));
  EXPECT_TRUE(leftovers->KillAndCheck().empty());
  EXPECT_FALSE(std::filesystem::exists("/dev/shm" + name));
  EXPECT_TRUE(std::filesystem::is_empty(root_ + "/ranks"));
}

}  // namespace
}  // namespace rackmark
