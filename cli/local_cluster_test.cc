#include "cli/local_cluster.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "cli/child.h"
#include "common/exit_codes.h"

namespace rackmark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// Before any test makes threads that live on, such as gRPC's: as in the program, a signal may go to
// its descriptor alone.
class SignalsBlocked : public testing::Environment {
  void SetUp() override {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  }
};
const testing::Environment* const kSignalsBlocked =
    testing::AddGlobalTestEnvironment(new SignalsBlocked);

v1::Gang Cpus(uint32_t devices, std::optional<uint32_t> per_node) {
  v1::Gang gang;
  gang.set_devices(devices);
  gang.set_kind(v1::DEVICE_KIND_CPU);
  if (per_node) gang.set_per_node(*per_node);
  return gang;
}

TEST(SlotsFor, SpreadsTheGang) {
  LocalOptions two;
  EXPECT_EQ(*SlotsFor(Cpus(2, 1), two), 1u);
  EXPECT_EQ(*SlotsFor(Cpus(1, std::nullopt), two), 1u);
  EXPECT_EQ(*SlotsFor(Cpus(5, std::nullopt), two), 3u);
  EXPECT_EQ(*SlotsFor(Cpus(8, 4), two), 4u);
  two.cpu_slots = 7;
  EXPECT_EQ(*SlotsFor(Cpus(2, 1), two), 7u);
}

TEST(SlotsFor, ImpossibleGangsAreRefusedWithTheRemedy) {
  LocalOptions two;
  EXPECT_THAT(
      std::string(SlotsFor(Cpus(4, 1), two).status().message()),
      HasSubstr("needs 4 nodes with 1 devices each, and --local 2 starts 2; use --local 4"));
  EXPECT_THAT(std::string(SlotsFor(Cpus(65536, std::nullopt), two).status().message()),
              HasSubstr("256 are the most"));
  v1::Gang gpus = Cpus(2, 1);
  gpus.set_kind(v1::DEVICE_KIND_GPU);
  EXPECT_THAT(std::string(SlotsFor(gpus, two).status().message()), HasSubstr("CPU slots only"));
  two.cpu_slots = 1;
  EXPECT_THAT(
      std::string(SlotsFor(Cpus(8, std::nullopt), two).status().message()),
      HasSubstr("needs 4 devices on a node, and --cpu-slots 1 offers 1; use --cpu-slots 4"));
}

TEST(CheckFits, CountsDevicesOfTheKindOnNodesThatAreThere) {
  v1::ListNodesReply nodes;
  for (int i = 0; i < 3; ++i) {
    v1::NodeStatus& node = *nodes.add_nodes();
    node.set_phase(i == 2 ? v1::NODE_PHASE_LOST : v1::NODE_PHASE_UP);
    for (int d = 0; d < 2; ++d) node.mutable_info()->add_devices()->set_kind(v1::DEVICE_KIND_CPU);
  }
  EXPECT_TRUE(CheckFits(Cpus(4, std::nullopt), nodes).ok());
  EXPECT_TRUE(CheckFits(Cpus(4, 2), nodes).ok());
  EXPECT_THAT(std::string(CheckFits(Cpus(5, std::nullopt), nodes).message()),
              HasSubstr("needs 5 CPU devices, and all known nodes together have 4; use a smaller"));
  EXPECT_THAT(std::string(CheckFits(Cpus(3, 1), nodes).message()),
              HasSubstr("needs 3 nodes with 1 CPU devices each, and 2 known nodes have that"));
  EXPECT_FALSE(CheckFits(Cpus(3, 3), nodes).ok());
  v1::Gang gpus = Cpus(1, std::nullopt);
  gpus.set_kind(v1::DEVICE_KIND_GPU);
  EXPECT_FALSE(CheckFits(gpus, nodes).ok());
  nodes.set_left_out(1);  // which may have what is missing here
  EXPECT_TRUE(CheckFits(gpus, nodes).ok());
  EXPECT_TRUE(CheckFits(Cpus(3, 3), nodes).ok());
}

TEST(SlotsFor, AGangWithinOneNodeHasAllItsDevicesThere) {
  LocalOptions two;
  v1::Gang gang = Cpus(3, std::nullopt);
  gang.set_within(v1::WITHIN_NODE);
  EXPECT_EQ(*SlotsFor(gang, two), 3u);
  gang.set_preferred(true);  // it may be wider
  EXPECT_EQ(*SlotsFor(gang, two), 2u);
  gang.set_preferred(false);
  two.cpu_slots = 2;
  EXPECT_THAT(
      std::string(SlotsFor(gang, two).status().message()),
      HasSubstr("needs 3 devices on a node, and --cpu-slots 2 offers 2; use --cpu-slots 3"));
  v1::ListNodesReply nodes;
  for (int i = 0; i < 2; ++i) {
    v1::NodeStatus& node = *nodes.add_nodes();
    for (int d = 0; d < 2; ++d) node.mutable_info()->add_devices()->set_kind(v1::DEVICE_KIND_CPU);
  }
  EXPECT_THAT(std::string(CheckFits(gang, nodes).message()),
              HasSubstr("needs 1 nodes with 3 CPU devices each, and 0 known nodes have that"));
  gang.set_preferred(true);
  EXPECT_TRUE(CheckFits(gang, nodes).ok());
}

TEST(CheckQuarantine, ACheckNeedsNodesThatAreThere) {
  v1::ListNodesReply nodes;
  v1::NodeStatus& node = *nodes.add_nodes();
  node.mutable_info()->add_devices()->set_kind(v1::DEVICE_KIND_CPU);
  v1::Gang gang = Cpus(1, std::nullopt);
  EXPECT_TRUE(CheckQuarantine(gang, nodes).ok());
  gang.set_quarantined(true);
  EXPECT_THAT(std::string(CheckQuarantine(gang, nodes).message()),
              HasSubstr("needs 1 devices there, and the nodes in quarantine have 0; set"));
  node.set_standing(v1::STANDING_QUARANTINED);
  EXPECT_TRUE(CheckQuarantine(gang, nodes).ok());
  gang.set_devices(2);
  EXPECT_FALSE(CheckQuarantine(gang, nodes).ok());
  nodes.set_left_out(1);
  EXPECT_TRUE(CheckQuarantine(gang, nodes).ok());
}

TEST(Arguments, AreWhatTheProgramsTake) {
  LocalOptions options;
  options.data = "/data";
  EXPECT_THAT(CoordinatorArguments(options, "unix:/s"),
              ElementsAre("--data", "/data", "--listen", "unix:/s", "--lifeline-fd", "3"));
  EXPECT_THAT(WorkerArguments(options, "unix:/s", 1, 4),
              ElementsAre("--coordinator", "unix:/s", "--name", "local-1", "--data",
                          "/data/workers/local-1", "--cpu-slots", "4", "--gpus", "none",
                          "--interface", "lo", "--lifeline-fd", "3"));
}

// Shell scripts in place of the programs: what is tested is who starts, who ends, who is told.
class ClusterTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "rackmark-cli-XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    ASSERT_EQ(mkfifo((folder_ + "/pids").c_str(), 0600), 0);
    auto stop = StopSignal::Install(std::nullopt);
    ASSERT_TRUE(stop.ok()) << stop.status();
    stop_ = *std::move(stop);
    options_.workers = 2;
    options_.data = folder_ + "/data";
    options_.programs = folder_;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Script(const std::string& name, const std::string& body) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    chmod(path.c_str(), 0700);
  }
  std::unique_ptr<LocalCluster> Make() {
    return std::make_unique<LocalCluster>(
        options_, 1, *stop_, [this](const std::string& line) { told_.push_back(line); });
  }
  std::string Text(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // Both live until the lifeline ends or SIGTERM comes.
  static constexpr const char* kCoordinator = "echo listening >&4; exec 4>&-; read -r line <&3";
  static constexpr const char* kWorker = "read -r line <&3";

  // A worker that tells its process id through the FIFO, where the test waits for it.
  std::string TellingWorker() const { return "echo $$ > " + folder_ + "/pids; " + kWorker; }
  pid_t NextPid() const {
    std::ifstream fifo(folder_ + "/pids");
    pid_t pid = 0;
    EXPECT_TRUE(fifo >> pid);
    return pid;
  }

  std::string folder_;
  LocalOptions options_;
  std::vector<std::string> told_;
  std::unique_ptr<StopSignal> stop_;
};

TEST_F(ClusterTest, StartsStopsAndLeavesNothing) {
  Script("rackmark-coordinator", kCoordinator);
  Script("rackmark-worker", TellingWorker());
  options_.workers = 1;
  auto cluster = Make();
  const auto failure = cluster->Start();
  ASSERT_FALSE(failure) << failure->status;
  EXPECT_THAT(cluster->endpoint(), StartsWith("unix:/"));
  const std::string socket = cluster->endpoint().substr(5);
  const std::string folder = std::filesystem::path(socket).parent_path();
  struct stat info {};
  ASSERT_EQ(stat(folder.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  const pid_t worker = NextPid();
  EXPECT_EQ(kill(worker, 0), 0);
  EXPECT_TRUE(cluster->Supervise().ok());
  cluster->Stop();
  EXPECT_FALSE(std::filesystem::exists(folder));
  EXPECT_NE(kill(worker, 0), 0);
  EXPECT_TRUE(told_.empty());
}

TEST_F(ClusterTest, AHurryLeavesNoTimeToTheStubborn) {
  Script("rackmark-coordinator", kCoordinator);
  // SIGTERM alone would end it after kStopPatience only.
  Script("rackmark-worker", "trap '' TERM; " + TellingWorker());
  options_.workers = 1;
  auto cluster = Make();
  ASSERT_FALSE(cluster->Start());
  const pid_t worker = NextPid();
  cluster->Hurry();
  const Nanos start = SystemClock().Monotonic();
  cluster->Stop();
  EXPECT_LT(SystemClock().Monotonic() - start, 4 * kSecond);
  EXPECT_NE(kill(worker, 0), 0);
}

TEST_F(ClusterTest, ASignalEndsTheWaitForACoordinatorThatNeverListens) {
  Script("rackmark-coordinator", "echo $$ > " + folder_ + "/pids; read -r line <&3");
  Script("rackmark-worker", kWorker);
  std::thread user([this] {
    NextPid();
    kill(getpid(), SIGINT);  // blocked in every thread; the signal's descriptor gets it
  });
  auto cluster = Make();
  const auto failure = cluster->Start();
  user.join();
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->exit_code, kExitCancelled);
}

TEST_F(ClusterTest, ARefusalIsToldWithItsWordsAndStatus) {
  Script("rackmark-coordinator", "echo data folder is in use >&2; exit 13");
  Script("rackmark-worker", kWorker);
  const auto failure = Make()->Start();
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->exit_code, 13);
  EXPECT_THAT(std::string(failure->status.message()), HasSubstr("data folder is in use"));
}

TEST_F(ClusterTest, AMissingProgramIsASentence) {
  const auto failure = Make()->Start();
  ASSERT_TRUE(failure);
  EXPECT_THAT(std::string(failure->status.message()), HasSubstr("rackmark-coordinator"));
}

TEST_F(ClusterTest, TheDeadAreStartedAgainButNotForEver) {
  Script("rackmark-coordinator", kCoordinator);
  Script("rackmark-worker", "exit 9");
  options_.workers = 1;
  auto cluster = Make();
  ASSERT_FALSE(cluster->Start());
  absl::Status status;
  while (status.ok()) {
    // Blocks until a child has ended, and leaves it to be reaped; the coordinator does not end.
    siginfo_t ended{};
    ASSERT_EQ(waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT), 0);
    status = cluster->Supervise();
  }
  EXPECT_THAT(std::string(status.message()), HasSubstr("worker local-0 ended with status 9"));
  ASSERT_EQ(told_.size(), 3u);
  EXPECT_THAT(told_[0], HasSubstr("started it again (1 of 3)"));
}

TEST_F(ClusterTest, ChildrenEndWithTheLifeline) {
  Script("child", "read -r line <&3; echo gone");
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  ChildOptions options;
  options.program = folder_ + "/child";
  options.log_file = folder_ + "/log";
  options.lifeline_fd = fds[0];
  const auto pid = StartChild(options);
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_EQ(waitpid(*pid, nullptr, WNOHANG), 0);
  EXPECT_EQ(getpgid(*pid), *pid);
  close(fds[1]);  // what the kernel does for us when we are killed
  int status = 0;
  EXPECT_EQ(waitpid(*pid, &status, 0), *pid);
  EXPECT_EQ(Text(options.log_file), "gone\n");
  close(fds[0]);
}

}  // namespace
}  // namespace rackmark
