// What can be said of the CUDA part without a device: the libraries load, an absent device is an
// error with its reason, and errors name call, device and stream. tests/gpu has the rest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "kernels/cuda/collective_nccl.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"

namespace rackmark {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

TEST(CudaStatus, NamesCallDeviceAndStream) {
  int target = 0;
  const auto stream = reinterpret_cast<cudaStream_t>(&target);
  const absl::Status status =
      ToStatus(cudaErrorMemoryAllocation, "cudaMalloc(&data, bytes)", {3, stream});
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_THAT(std::string(status.message()),
              MatchesRegex("cudaMalloc\\(&data, bytes\\) on device 3 stream [0-9a-f]+: "
                           "cudaErrorMemoryAllocation \\(.*\\)"));
  EXPECT_TRUE(absl::IsFailedPrecondition(ToStatus(cudaErrorNoDevice, "x", {})));
  EXPECT_TRUE(absl::IsInternal(ToStatus(cudaErrorIllegalAddress, "x", {})));
  EXPECT_TRUE(absl::IsUnimplemented(ToStatus(CUBLAS_STATUS_NOT_SUPPORTED, "x", {})));
  EXPECT_TRUE(ToStatus(cudaSuccess, "x", {}).ok());
  EXPECT_TRUE(ToStatus(CUBLAS_STATUS_SUCCESS, "x", {}).ok());
}

TEST(CudaDevice, IsOpenOrSaysWhyNot) {
  const auto device = CudaDevice::Open(0);
  EXPECT_EQ(device.ok(), CudaReady().ok());
  if (device.ok()) {
    EXPECT_FALSE((*device)->facts().name.empty());
    return;
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(device.status())) << device.status();
  EXPECT_THAT(std::string(device.status().message()),
              HasSubstr("no GPU that this process can use"));
}

TEST(Launch, RefusesWhatItCannotAddress) {
  EXPECT_EQ(cuda::LaunchTreeSum(nullptr, 0, 1, nullptr, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cuda::LaunchTreeSum(nullptr, 1 << 16, 1, nullptr, nullptr), cudaErrorInvalidValue);
  alignas(16) const char text[32] = "";
  EXPECT_EQ(cuda::LaunchReadSum(text + 1, 16, nullptr, 1, nullptr), cudaErrorInvalidValue);
}

TEST(Nccl, TheIdIsMadeWithoutADeviceAndIsNewEachTime) {
  const auto one = MakeNcclId();
  const auto two = MakeNcclId();
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(one->size(), 128U);
  EXPECT_NE(*one, *two);
  EXPECT_THAT(NcclVersion(), MatchesRegex("2\\.[0-9]+\\.[0-9]+"));
}

}  // namespace
}  // namespace rackmark
