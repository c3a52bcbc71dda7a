// Parsers on recorded kernel text, the probe and the telemetry on a fixture machine under a root.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/device/cpu_probe.h"
#include "worker/device/proc_text.h"
#include "worker/device/telemetry.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kMemInfo[] =
    "MemTotal:       16000000 kB\nMemFree:          100000 kB\nMemAvailable:   12000000 kB\n"
    "HugePages_Total:       0\n";
constexpr char kStat1[] = "cpu  100 0 50 800 50 0 0 0 7 0\ncpu0 1 1 1 1\nintr 5\n";
constexpr char kStat2[] = "cpu  160 0 70 900 60 5 5 0 9 0\n";
constexpr char kNetDev[] =
    "Inter-|   Receive                 |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n"
    "    lo:    1000      10    0    0    0     0          0         0     1000      10    0    0 "
    "   0     0       0          0\n"
    "  eth0:2000000000000 9    0    0    0     0          0         0      500       9    0    0 "
    "   0     0       0          0\n";
constexpr char kPidStat[] =
    "4242 (a) R 1 (x) S 1 4242 4242 0 -1 4194560 2000 0 0 0 250 150 0 0 20 0 8 0 987654 123456 "
    "2048 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
constexpr char kCpuInfo[] =
    "processor\t: 0\nvendor_id\t: X\nmodel\t\t: 143\nmodel name\t: Fast CPU @ 3 GHz\n"
    "flags\t\t: fpu avx2 sse4_2 fma avx512f\n\nprocessor\t: 1\nmodel name\t: Other\n";

TEST(ProcText, MemInfo) {
  const auto info = ParseMemInfo(kMemInfo);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->total_bytes, 16'384'000'000U);
  EXPECT_EQ(info->available_bytes, 12'288'000'000U);
  EXPECT_FALSE(ParseMemInfo("MemTotal: 5 kB\n").has_value());
  EXPECT_FALSE(ParseMemInfo("").has_value());
}

TEST(ProcText, CpuTicks) {
  const auto ticks = ParseCpuTicks(kStat1);
  ASSERT_TRUE(ticks.has_value());
  EXPECT_EQ(ticks->busy, 150U);  // idle and iowait are not, guest is counted in user
  EXPECT_EQ(ticks->total, 1000U);
  EXPECT_FALSE(ParseCpuTicks("cpu 1 2 3").has_value());
  EXPECT_FALSE(ParseCpuTicks("cpu0 1 2 3 4 5 6 7 8").has_value());
}

TEST(ProcText, NetDevSumsAllInterfaces) {
  const auto bytes = ParseNetDev(kNetDev);
  ASSERT_TRUE(bytes.has_value());
  EXPECT_EQ(bytes->received, 2'000'000'001'000U);
  EXPECT_EQ(bytes->sent, 1500U);
  EXPECT_FALSE(ParseNetDev("no interface\n").has_value());
  EXPECT_FALSE(ParseNetDev("lo: 1 2 3\n").has_value());
}

TEST(ProcText, ProcessStatWithAHostileName) {
  const auto stat = ParseProcessStat(kPidStat);
  ASSERT_TRUE(stat.has_value());
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->cpu_ticks, 400U);
  EXPECT_EQ(stat->start_ticks, 987654U);
  EXPECT_EQ(stat->rss_pages, 2048U);
  EXPECT_FALSE(ParseProcessStat("1 (x) S 1").has_value());
}

TEST(ProcText, Names) {
  EXPECT_EQ(ParseOsName("NAME=x\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
  EXPECT_EQ(ParseOsName("PRETTY_NAME=Plain"), "Plain");
  EXPECT_EQ(ParseOsName("NAME=x\n"), std::nullopt);
  EXPECT_EQ(ParseCpuModel(kCpuInfo), "Fast CPU @ 3 GHz");
  EXPECT_EQ(ParseCpuModel("CPU implementer\t: 0x41\nCPU part\t: 0xd4f\n"),
            "implementer 0x41 part 0xd4f");
  EXPECT_EQ(ParseCpuModel("processor: 0\n"), std::nullopt);
  EXPECT_THAT(ParseCpuFlags(kCpuInfo), ElementsAre("sse4_2", "fma", "avx2", "avx512f"));
  EXPECT_THAT(ParseCpuFlags("Features\t: fp asimd sve\n"), ElementsAre("asimd", "sve"));
  EXPECT_THAT(ParseCpuFlags(""), IsEmpty());
}

class Machine : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "rm_machine_" + std::to_string(getpid());
    std::filesystem::remove_all(root_);
    Write("/proc/sys/kernel/hostname", "tray-7\n");
    Write("/proc/sys/kernel/random/boot_id", "b007\n");
    Write("/etc/machine-id", "abc\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  MachineFiles Files() const { return MachineFiles(root_); }
  std::string root_;
};

TEST_F(Machine, ProbeSaysWhatIsThere) {
  Write("/proc/meminfo", kMemInfo);
  Write("/proc/cpuinfo", kCpuInfo);
  Write("/etc/os-release", "PRETTY_NAME=\"Debian 12\"\n");
  Write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
  const auto node = ProbeNode(Files(), {.cpu_slots = 4, .cpus = {0, 1, 2, 5, 6, 7}});
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ(node->name(), "tray-7");
  EXPECT_EQ(node->boot_id(), "b007");
  EXPECT_EQ(node->host_id().size(), 32U);
  EXPECT_EQ(node->environment().os(), "Debian 12");
  EXPECT_EQ(node->environment().cpu_count(), 6U);
  EXPECT_EQ(node->environment().more().at("cpu_governor"), "performance");
  EXPECT_EQ(node->environment().more().at("cpu_flags"), "sse4_2 fma avx2 avx512f");
  ASSERT_EQ(node->devices_size(), 4);
  EXPECT_THAT(node->devices(0).cpus(), ElementsAre(0U));
  EXPECT_THAT(node->devices(1).cpus(), ElementsAre(1U, 2U));
  EXPECT_THAT(node->devices(3).cpus(), ElementsAre(6U, 7U));
  EXPECT_EQ(node->devices(3).index(), 3U);
  EXPECT_EQ(node->devices(3).kind(), v1::DEVICE_KIND_CPU);
  EXPECT_EQ(node->devices(3).memory_bytes(), 4'096'000'000U);
  EXPECT_FALSE(node->has_shm_free_bytes());  // the fixture has no /dev/shm
}

TEST_F(Machine, MissingFactsAreMissingAndDefaultsHold) {
  const auto node = ProbeNode(Files(), {.cpus = {3, 4}});
  ASSERT_TRUE(node.ok());
  EXPECT_EQ(node->devices_size(), 2);
  EXPECT_FALSE(node->devices(0).has_memory_bytes());
  EXPECT_EQ(node->environment().os(), "");
  EXPECT_EQ(node->environment().more().count("cpu_governor"), 0U);
}

TEST_F(Machine, MoreSlotsThanCpusAndACgroupBound) {
  Write("/proc/meminfo", kMemInfo);
  Write("/sys/fs/cgroup/memory.max", "6000000000\n");
  const auto node = ProbeNode(Files(), {.cpu_slots = 3, .cpus = {8, 9}});
  ASSERT_TRUE(node.ok());
  EXPECT_THAT(node->devices(2).cpus(), ElementsAre(8U));
  EXPECT_EQ(node->devices(2).memory_bytes(), 2'000'000'000U);
  EXPECT_FALSE(ProbeNode(Files(), {.cpu_slots = 0}).ok());
  EXPECT_FALSE(ProbeNode(Files(), {.cpu_slots = kCpuSlotsMax + 1}).ok());
}

TEST_F(Machine, HostIdCanBeOverriddenAndFollowsTheBoot) {
  EXPECT_EQ(ProbeNode(Files(), {.host_id = "host-b"})->host_id(), "host-b");
  EXPECT_EQ(ProbeNode(Files(), {.name = "n"})->name(), "n");
  EXPECT_EQ(HostId(Files(), "x"), HostId(Files(), "x"));
  EXPECT_NE(HostId(Files(), "x"), HostId(Files(), "y"));
}

TEST_F(Machine, NoNameIsAnError) {
  std::filesystem::remove(root_ + "/proc/sys/kernel/hostname");
  EXPECT_FALSE(ProbeNode(Files(), {}).ok());
}

std::optional<double> Value(const std::vector<TelemetryPoint>& points, SeriesId id) {
  for (const TelemetryPoint& point : points) {
    if (point.series == id) return point.value;
  }
  return std::nullopt;
}

TEST_F(Machine, TelemetryTakesDifferencesAndRecordsLateTicks) {
  Write("/proc/meminfo", kMemInfo);
  Write("/proc/stat", kStat1);
  Write("/proc/net/dev", kNetDev);
  Write("/proc/self/stat", kPidStat);
  Telemetry telemetry(Files(), kSecond);
  const auto first = telemetry.Tick(10 * kSecond);
  EXPECT_EQ(Value(first, SeriesId::kHostCpuBusy), std::nullopt);  // a share needs two ticks
  EXPECT_EQ(Value(first, SeriesId::kTickLate), std::nullopt);
  EXPECT_EQ(Value(first, SeriesId::kHostMemoryUsed), 4'096'000'000.0);
  EXPECT_EQ(Value(first, SeriesId::kNetworkSent), 1500.0);
  EXPECT_EQ(first[0].t_ns, 10 * kSecond);
  EXPECT_THAT(telemetry.Tick(10 * kSecond + 1), IsEmpty());

  Write("/proc/stat", kStat2);
  const auto late = telemetry.Tick(13 * kSecond + kSecond / 2);
  EXPECT_EQ(Value(late, SeriesId::kTickLate), 2.5);
  EXPECT_EQ(Value(late, SeriesId::kHostCpuBusy), 90.0 / 200.0);
  EXPECT_EQ(telemetry.due(), 14 * kSecond);  // on the grid again, nothing caught up

  Write("/proc/stat", "garbage");
  EXPECT_EQ(Value(telemetry.Tick(14 * kSecond), SeriesId::kHostCpuBusy), std::nullopt);
  telemetry.Reset();
  EXPECT_EQ(Value(telemetry.Tick(14 * kSecond + 1), SeriesId::kTickLate), std::nullopt);
}

TEST_F(Machine, ProcessFactsEndWithTheProcess) {
  Write("/proc/4242/stat", kPidStat);
  EXPECT_EQ(ProcessRss(Files(), 4242), 2048U * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
  EXPECT_EQ(ProcessStart(Files(), 4242), 987654U);
  std::string zombie = kPidStat;
  zombie.replace(zombie.find(") S"), 3, ") Z");
  Write("/proc/4243/stat", zombie);
  EXPECT_EQ(ProcessRss(Files(), 4243), std::nullopt);
  EXPECT_EQ(ProcessStart(Files(), 1), std::nullopt);
}

TEST(RealMachine, CanBeProbed) {
  const auto cpus = UsableCpus();
  ASSERT_TRUE(cpus.ok());
  EXPECT_FALSE(cpus->empty());
  const auto node = ProbeNode(MachineFiles(), {.cpus = *cpus});
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ(node->devices_size(), static_cast<int>(cpus->size()));
  EXPECT_TRUE(ProcessRss(MachineFiles(), getpid()).has_value());
  EXPECT_GT(Telemetry(MachineFiles(), kSecond).Tick(1).size(), 2U);
}

}  // namespace
}  // namespace rackmark
