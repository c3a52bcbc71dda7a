// The GPUs that a management library tells, from a library of our own that is loaded by path.
#include "worker/device/nvml_probe.h"

#include <cstdlib>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class NvmlProbeTest : public testing::Test {
 protected:
  ~NvmlProbeTest() override {
    unsetenv("FAKE_NVML");
    unsetenv("FAKE_NVML_GPUS");
  }
  static GpuProbe Probe(const char* mode, const char* gpus = "2") {
    setenv("FAKE_NVML", mode, 1);
    setenv("FAKE_NVML_GPUS", gpus, 1);
    return ProbeGpus(RACKMARK_FAKE_NVML);
  }
};

TEST_F(NvmlProbeTest, TellsEachGpuWithItsFacts) {
  const GpuProbe probe = Probe("fabric");
  EXPECT_EQ(probe.note, "");
  EXPECT_EQ(probe.driver, "999.01.02");
  ASSERT_EQ(probe.devices.size(), 2U);
  const v1::Device& gpu = probe.devices[1];
  EXPECT_EQ(gpu.kind(), v1::DEVICE_KIND_GPU);
  EXPECT_EQ(gpu.model(), "NVIDIA Fake 1000");
  EXPECT_EQ(gpu.uuid(), "GPU-fa4e0000-0000-0000-0000-000000000001");
  EXPECT_EQ(gpu.memory_bytes(), 79ULL << 30U);
  EXPECT_EQ(gpu.nvlink_domain(), "01020304-0506-0708-090a-0b0c0d0e0f10.7");
  EXPECT_THAT(gpu.cpus(), ElementsAre(64));
  EXPECT_THAT(probe.devices[0].cpus(), ElementsAre(0, 2));
}

TEST_F(NvmlProbeTest, TellsPartsBySerialSlotAndLinks) {
  const GpuProbe probe = Probe("link-down");
  EXPECT_EQ(probe.devices[0].serial(), "1650000000000");
  EXPECT_EQ(probe.devices[1].serial(), "1650000000001");
  EXPECT_EQ(probe.devices[1].slot(), "module 2");
  EXPECT_EQ(probe.devices[0].links(), 18U);
  EXPECT_EQ(probe.devices[1].links(), 17U);
}

TEST_F(NvmlProbeTest, WhatNobodyTellsOfAPartIsMissing) {
  const GpuProbe probe = Probe("old");
  EXPECT_EQ(probe.devices[1].serial(), "");
  EXPECT_EQ(probe.devices[1].slot(), "pci 00000000:1C:00.0");
  EXPECT_FALSE(probe.devices[1].has_links());
  EXPECT_FALSE(Probe("no-links").devices[0].has_links());
}

TEST_F(NvmlProbeTest, AModuleNumberThatSeveralHaveNamesNoSlot) {
  const GpuProbe probe = Probe("pcie", "4");
  ASSERT_EQ(probe.devices.size(), 4U);
  EXPECT_EQ(probe.devices[0].slot(), "pci 00000000:1B:00.0");
  EXPECT_EQ(probe.devices[3].slot(), "pci 00000000:1E:00.0");
  EXPECT_EQ(Probe("pcie", "1").devices[0].slot(), "module 0");
  EXPECT_EQ(Probe("", "4").devices[3].slot(), "module 4");
}

TEST_F(NvmlProbeTest, ADomainWithoutANameIsNone) {
  EXPECT_EQ(Probe("").devices[0].nvlink_domain(), "");
  EXPECT_EQ(Probe("old fabric").devices[0].nvlink_domain(), "");
}

TEST_F(NvmlProbeTest, ALostGpuIsLeftOutAndNamed) {
  const GpuProbe probe = Probe("lost", "3");
  ASSERT_EQ(probe.devices.size(), 2U);
  EXPECT_EQ(probe.devices[1].uuid(), "GPU-fa4e0000-0000-0000-0000-000000000002");
  EXPECT_THAT(probe.note, HasSubstr("GPU 1: GPU is lost"));
}

TEST_F(NvmlProbeTest, NoLibraryNoDriverAndNoGpuAreNoErrors) {
  EXPECT_THAT(ProbeGpus("/nowhere/libnvidia-ml.so.1").devices, IsEmpty());
  EXPECT_THAT(ProbeGpus("/nowhere/libnvidia-ml.so.1").note, HasSubstr("/nowhere"));
  EXPECT_THAT(Probe("no-driver").devices, IsEmpty());
  EXPECT_THAT(Probe("no-driver").note, HasSubstr("Driver Not Loaded"));
  EXPECT_THAT(Probe("", "0").devices, IsEmpty());
}

TEST_F(NvmlProbeTest, GpusAreNumberedAfterTheNodesOwnDevices) {
  v1::NodeInfo node;
  node.add_devices()->set_kind(v1::DEVICE_KIND_CPU);
  AddGpus(Probe(""), {0, 1}, &node);
  ASSERT_EQ(node.devices_size(), 3);
  EXPECT_EQ(node.devices(2).index(), 2U);
  EXPECT_EQ(node.devices(2).kind(), v1::DEVICE_KIND_GPU);
  EXPECT_THAT(node.devices(1).cpus(), ElementsAre(0)) << "CPU 2 is not ours";
  EXPECT_THAT(node.devices(2).cpus(), IsEmpty()) << "none is, so it is not bound";
  EXPECT_EQ(node.environment().more().at("nvidia_driver"), "999.01.02");
  EXPECT_EQ(node.driver(), "999.01.02");
}

}  // namespace
}  // namespace rackmark
