// The CUDA operations against the plain twin in double, at awkward shapes and with fresh random
// data; the promises about bits; and the ways in which a call can fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <future>

#include "kernels/collective.h"
#include "kernels/cpu/reference.h"
#include "tests/gpu/gpu_fixture.h"

namespace rackmark {
namespace {

using testing::HasSubstr;

size_t At(int i) { return static_cast<size_t>(i); }

// ||got - want|| / ||want||; NaN anywhere fails.
double RelativeError(const std::vector<float>& got, const std::vector<float>& want) {
  double difference = 0;
  double size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double d = static_cast<double>(got[i]) - static_cast<double>(want[i]);
    difference += d * d;
    size += static_cast<double>(want[i]) * static_cast<double>(want[i]);
  }
  return std::sqrt(difference / std::max(size, 1e-300));
}

void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
}

class GpuOps : public GpuTest {
 protected:
  std::unique_ptr<Ops> reference_ = MakeReferenceOps();
};

TEST_F(GpuOps, RmsNormAgreesWithTheReference) {
  for (const int hidden : {1, 7, 64, 1023, 4096, 16384}) {
    for (const int m : {1, 3, 33}) {
      SCOPED_TRACE(testing::Message() << m << "x" << hidden);
      const auto x = RandomFloats(At(m) * At(hidden), 1 + At(hidden), 5);
      const auto weight = RandomHalves(At(hidden), 2);
      std::vector<float> want(x.size());
      reference_->RmsNorm({m, hidden, 1e-5F}, x.data(), weight.data(), want.data());
      const DeviceBuffer dx = Put(x), dw = Put(weight), out = Poisoned(x.size());
      ASSERT_TRUE(
          ops().RmsNorm({m, hidden, 1e-5F}, dx.as<float>(), dw.as<Bf16>(), out.as<float>()).ok());
      EXPECT_LT(RelativeError(Get<float>(out, x.size()), want), 2e-6);
      ExpectSameBits(Get<float>(dx, x.size()), x);  // x is only read
    }
  }
}

TEST_F(GpuOps, RmsNormBitsIgnoreTheBatch) {
  const int hidden = 4096;
  const auto x = RandomFloats(64 * At(hidden), 3);
  const DeviceBuffer dx = Put(x), dw = Put(RandomHalves(At(hidden), 4));
  const DeviceBuffer all = Poisoned(x.size()), one = Poisoned(At(hidden));
  ASSERT_TRUE(
      ops().RmsNorm({64, hidden, 1e-5F}, dx.as<float>(), dw.as<Bf16>(), all.as<float>()).ok());
  ASSERT_TRUE(
      ops()
          .RmsNorm({1, hidden, 1e-5F}, dx.as<float>() + 63 * hidden, dw.as<Bf16>(), one.as<float>())
          .ok());
  const auto batch = Get<float>(all, x.size());
  ExpectSameBits(Get<float>(one, At(hidden)), {batch.end() - hidden, batch.end()});
}

TEST_F(GpuOps, TheFusedResidualIsAnAddAndANorm) {
  for (const int hidden : {8, 1023, 8192}) {
    const int m = 5;
    auto x = RandomFloats(At(m) * At(hidden), 5);
    const auto residual = RandomFloats(x.size(), 6);
    const auto weight = RandomHalves(At(hidden), 7);
    const DeviceBuffer dx = Put(x), dr = Put(residual), dw = Put(weight);
    const DeviceBuffer out = Poisoned(x.size()), alone = Poisoned(x.size());
    ASSERT_TRUE(ops()
                    .AddRmsNorm({m, hidden, 1e-6F}, dr.as<float>(), dx.as<float>(), dw.as<Bf16>(),
                                out.as<float>())
                    .ok());
    reference_->Add(x.size(), residual.data(), x.data());
    ExpectSameBits(Get<float>(dx, x.size()), x);
    ASSERT_TRUE(
        ops().RmsNorm({m, hidden, 1e-6F}, dx.as<float>(), dw.as<Bf16>(), alone.as<float>()).ok());
    ExpectSameBits(Get<float>(out, x.size()), Get<float>(alone, x.size()));
  }
}

TEST_F(GpuOps, RoundsToBf16AsTheHostDoes) {
  auto x = RandomFloats(10007, 8, 1e3);
  for (const float f : {0.0F, -0.0F, INFINITY, -INFINITY, 3.4e38F, 1e-40F, 1.00390625F}) {
    x.push_back(f);
  }
  const DeviceBuffer dx = Put(x), out = Poisoned(x.size());
  ASSERT_TRUE(ops().ToBf16(dx.as<float>(), x.size(), out.as<Bf16>()).ok());
  const auto got = Get<Bf16>(out, x.size());
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(got[i].bits, ToBf16(x[i]).bits) << x[i];
}

TEST_F(GpuOps, MatMulAgreesWithTheReference) {
  const MatMulShape shapes[] = {{1, 4, 8, 1},      {1, 128, 64, 1},   {2, 1000, 1024, 1},
                                {7, 12, 4096, 1},  {16, 512, 520, 1}, {64, 96, 2048, 1},
                                {257, 260, 264, 1}};
  for (const MatMulShape& s : shapes) {
    SCOPED_TRACE(testing::Message() << s.m << "x" << s.n << "x" << s.k);
    auto x = RandomFloats(At(s.m) * At(s.k), 9 + At(s.m));
    // Numbers that bf16 holds: then only the order of the sums differs.
    for (float& f : x) f = ToFloat(ToBf16(f));
    const auto w = RandomHalves(At(s.n) * At(s.k), 10);
    std::vector<float> want(At(s.m) * At(s.n));
    reference_->MatMul(s, x.data(), w.data(), want.data());
    const DeviceBuffer dx = Put(x), dw = Put(w), y = Poisoned(want.size());
    const absl::Status queued = ops().MatMul(s, dx.as<float>(), dw.as<Bf16>(), y.as<float>());
    ASSERT_TRUE(queued.ok()) << queued;
    const auto first = Get<float>(y, want.size());
    // A result rounded to bf16 would be off by 2e-3.
    EXPECT_LT(RelativeError(first, want), 1e-4);
    const DeviceBuffer again = Poisoned(want.size());
    ASSERT_TRUE(ops().MatMul(s, dx.as<float>(), dw.as<Bf16>(), again.as<float>()).ok());
    ExpectSameBits(Get<float>(again, want.size()), first);
  }
}

TEST_F(GpuOps, MatMulRefusesWhatItCannotPromise) {
  const DeviceBuffer any = Poisoned(1024);
  const auto queue = [&](const MatMulShape& shape, size_t offset) {
    return ops().MatMul(shape, any.as<Bf16>() + offset, any.as<Bf16>(), any.as<float>());
  };
  EXPECT_TRUE(absl::IsInvalidArgument(queue({1, 8, 7, 1}, 0)));
  EXPECT_TRUE(absl::IsInvalidArgument(queue({1, 3, 8, 1}, 0)));
  EXPECT_TRUE(absl::IsInvalidArgument(queue({0, 8, 8, 1}, 0)));
  EXPECT_TRUE(absl::IsInvalidArgument(queue({1, 8, 8, 1}, 1)));
  const absl::Status bits = queue({1, 8, 64, 8}, 0);
  EXPECT_TRUE(absl::IsUnimplemented(bits));
  EXPECT_THAT(std::string(bits.message()), HasSubstr("deterministic"));
}

TEST_F(GpuOps, TreeSumGivesTheBitsOfTheHostsTree) {
  const size_t n = 1001;
  for (const int count : {1, 2, 3, 5, 7, 8, 9, 72}) {
    const auto rows = RandomFloats(At(count) * n, 11 + At(count), 100);
    std::vector<const float*> pointers;
    for (int i = 0; i < count; ++i) pointers.push_back(rows.data() + At(i) * n);
    std::vector<float> want(n);
    TreeSum(pointers.data(), count, n, want.data());
    const DeviceBuffer in = Put(rows), out = Poisoned(n);
    ASSERT_TRUE(ops().TreeSum(in.as<float>(), count, n, out.as<float>()).ok());
    SCOPED_TRACE(count);
    ExpectSameBits(Get<float>(out, n), want);
  }
}

TEST_F(GpuOps, ReadBandwidthReadsEveryByte) {
  const auto words = RandomHalves((size_t{1} << 20) + 5, 12);
  const DeviceBuffer buffer = Put(words);
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{7}, size_t{15}, size_t{16}, size_t{17},
                             size_t{1025}, words.size() * sizeof(Bf16)}) {
    const auto pass = ops().ReadBandwidth(buffer.data(), bytes, Patience());
    ASSERT_TRUE(pass.ok()) << pass.status();
    EXPECT_EQ(pass->bytes, bytes);
    EXPECT_EQ(pass->checksum, reference_->ReadBandwidth(words.data(), bytes).checksum) << bytes;
  }
}

TEST_F(GpuOps, AWaitForABusyStreamEndsAtItsLimit) {
  // The stream stands still until the test lets it go on.
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  ASSERT_EQ(
      cudaLaunchHostFunc(
          stream().get(),
          [](void* future) { static_cast<std::shared_future<void>*>(future)->wait(); }, &released),
      cudaSuccess);
  const absl::Status late =
      stream().AwaitIdle({&SystemClock(), 10 * kMillisecond, nullptr}, "the step");
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  std::atomic<bool> aborted{true};
  EXPECT_TRUE(absl::IsUnavailable(
      stream().AwaitIdle({&SystemClock(), 60 * kSecond, &aborted}, "the step")));
  release.set_value();
  EXPECT_TRUE(stream().AwaitIdle(Patience(), "the step").ok());
}

TEST_F(GpuOps, TooMuchMemoryIsAnErrorThatNamesCallAndDevice) {
  const absl::Status full = DeviceBuffer::Allocate(size_t{1} << 50, 0).status();
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_THAT(std::string(full.message()), HasSubstr("cudaMalloc(&data, bytes) on device 0"));
  // It is not sticky: the next call works.
  EXPECT_TRUE(DeviceBuffer::Allocate(16, 0).ok());
}

// The runtime keeps the last error for whoever asks next, and a launch asks.
TEST_F(GpuOps, ARefusedAllocationIsNotTheNextLaunchsError) {
  EXPECT_FALSE(DeviceBuffer::Allocate(size_t{1} << 50, 0).ok());
  const auto rows = RandomFloats(2 * 64, 8);
  const DeviceBuffer in = Put(rows), out = Poisoned(64);
  const absl::Status sum = ops().TreeSum(in.as<float>(), 2, 64, out.as<float>());
  EXPECT_TRUE(sum.ok()) << sum;
}

}  // namespace
}  // namespace rackmark
