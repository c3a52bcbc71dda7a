// For tests on a GPU: skips with the reason where there is none; opens the device once for all
// tests of the process. One thread.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/random.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device.h"

namespace rackmark {

// Where rackmark-rank-cuda lies: beside this program, in the build and in a bundle.
const char* CudaRankProgram();

// One rank of several in a process of its own, started by `gpu_test --nccl-peer ...`. Its exit
// status: 0, or 1 with the reason on its output.
int NcclPeerMain(int argc, char** argv);

inline Watch Patience() { return {&SystemClock(), 60 * kSecond, nullptr}; }

class GpuTest : public testing::Test {
 protected:
  struct Gpu {
    std::unique_ptr<CudaDevice> device;
    CudaStream stream;
    std::unique_ptr<CudaOps> ops;
  };

  void SetUp() override {
    if (const absl::Status ready = CudaReady(); !ready.ok()) {
      GTEST_SKIP() << ready.message();
    }
    static Gpu* const opened = [] {
      auto gpu = std::make_unique<Gpu>();
      auto device = CudaDevice::Open(0);
      if (!device.ok()) return static_cast<Gpu*>(nullptr);
      gpu->device = *std::move(device);
      auto stream = CudaStream::Create(0);
      if (!stream.ok()) return static_cast<Gpu*>(nullptr);
      gpu->stream = *std::move(stream);
      auto ops = CudaOps::Create(gpu->device.get(), &gpu->stream);
      if (!ops.ok()) return static_cast<Gpu*>(nullptr);
      gpu->ops = *std::move(ops);
      return gpu.release();  // lives as long as the process: CUDA is gone when statics end
    }();
    ASSERT_NE(opened, nullptr) << "a device is there and cannot be used";
    gpu_ = opened;
  }

  const CudaStream& stream() const { return gpu_->stream; }
  CudaOps& ops() const { return *gpu_->ops; }

  // A copy on the device.
  template <typename T>
  DeviceBuffer Put(const std::vector<T>& host) const {
    auto buffer = DeviceBuffer::Allocate(std::max<size_t>(16, host.size() * sizeof(T)), 0);
    EXPECT_TRUE(buffer.ok()) << buffer.status();
    const absl::Status copied =
        stream().CopyIn(buffer->data(), host.data(), host.size() * sizeof(T), Patience());
    EXPECT_TRUE(copied.ok()) << copied;
    return *std::move(buffer);
  }
  // Poisoned with NaN: what an operation does not write is found.
  DeviceBuffer Poisoned(size_t floats) const {
    return Put(std::vector<float>(floats, std::nanf("")));
  }
  template <typename T>
  std::vector<T> Get(const DeviceBuffer& buffer, size_t n) const {
    std::vector<T> host(n);
    const absl::Status copied =
        stream().CopyOut(host.data(), buffer.data(), n * sizeof(T), Patience());
    EXPECT_TRUE(copied.ok()) << copied;
    return host;
  }

  Gpu* gpu_ = nullptr;
};

inline std::vector<float> RandomFloats(size_t n, uint64_t seed, double range = 1) {
  Random random(seed, 1);
  std::vector<float> out(n);
  for (float& f : out) f = static_cast<float>((2 * random.Uniform() - 1) * range);
  return out;
}
inline std::vector<Bf16> RandomHalves(size_t n, uint64_t seed) {
  std::vector<Bf16> out;
  for (const float f : RandomFloats(n, seed)) out.push_back(ToBf16(f));
  return out;
}

}  // namespace rackmark
