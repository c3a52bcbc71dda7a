// What the CPU product reaches of its two limits, as ratios of medians that were measured in turns
// in one run: of the read bandwidth of the same weights (decode), and of the FMA peak of one core
// (prefill). One thread. Usage: kernels_bench [rounds, 7 unless told]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "bench/timed_ops.h"
#include "common/random.h"
#include "kernels/ops.h"
#include "worker/serving/weights.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rackmark {
namespace {

constexpr size_t kWeightBytes = 96 << 20;  // three times the last cache
constexpr int kTokensMax = 128;

struct Product {
  const char* name;
  int n;
  int k;
};
// One rank of tiny-30m at TP=2, and a matrix of an 8B model at TP=8.
constexpr Product kProducts[] = {{"qkv 256x512", 256, 512},    {"o 512x256", 512, 256},
                                 {"gate 768x512", 768, 512},   {"down 512x768", 512, 768},
                                 {"head 4096x512", 4096, 512}, {"large 1792x4096", 1792, 4096}};

double SecondsOf(const std::function<void()>& work) {
  const Nanos begin = CoreTime();
  work();
  return static_cast<double>(CoreTime() - begin) * 1e-9;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

#if defined(__x86_64__)
// Ten independent chains of FMA: more than latency times pipes.
__attribute__((target("avx2,fma"))) double FmaPeakFlops(long rounds) {
  __m256 sums[10];
  for (__m256& sum : sums) sum = _mm256_set1_ps(1.0F);
  const __m256 a = _mm256_set1_ps(0.999F);
  const __m256 b = _mm256_set1_ps(0.001F);
  const Nanos begin = CoreTime();
  for (long i = 0; i < rounds; ++i) {
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(sum, a, b);
  }
  const Nanos end = CoreTime();
  volatile float sink = 0;
  for (const __m256& sum : sums) sink = sink + _mm256_cvtss_f32(sum);
  return static_cast<double>(rounds) * 160 / (static_cast<double>(end - begin) * 1e-9);
}
#else
double FmaPeakFlops(long) { return 0; }
#endif

class Bench {
 public:
  explicit Bench(int rounds)
      : rounds_(rounds), ops_(MakeCpuOps()), w_(AllocateBf16(kWeightBytes / 2)) {
    Random random(1, 1);
    for (size_t i = 0; i < kWeightBytes / 2; ++i) {
      w_[i] = ToBf16(static_cast<float>(random.Uniform()) - 0.5F);
    }
    x_.resize(size_t{kTokensMax} * 4096);
    for (float& x : x_) x = static_cast<float>(random.Uniform()) - 0.5F;
    y_.resize(size_t{kTokensMax} * 4096);
  }

  // Walks all the weights, as a step walks its layers; returns seconds per byte of W.
  double Walk(const Product& p, int m) {
    const size_t size = static_cast<size_t>(p.n) * static_cast<size_t>(p.k);
    const size_t all = kWeightBytes / 2 / size;
    const size_t count = std::clamp<size_t>(all * 4 / static_cast<size_t>(m), 1, all);
    const double time = SecondsOf([&] {
      for (size_t i = 0; i < count; ++i) {
        ops_->MatMul({m, p.n, p.k, 1}, x_.data(), w_.get() + i * size, y_.data());
      }
    });
    return time / static_cast<double>(2 * count * size);
  }

  double Read() {
    return SecondsOf([&] { checksum_ += ops_->ReadBandwidth(w_.get(), kWeightBytes).checksum; }) /
           static_cast<double>(kWeightBytes);
  }

  void Row(const Product& p) {
    constexpr int kTokens[] = {1, 2, 3, 4, 8, 16, 40, 128};
    std::printf("%-16s", p.name);
    for (const int m : kTokens) {
      std::vector<double> reads;
      std::vector<double> walks;
      std::vector<double> peaks;
      for (int i = 0; i < rounds_; ++i) {
        reads.push_back(Read());
        peaks.push_back(FmaPeakFlops(1000000));
        walks.push_back(Walk(p, m));
      }
      const double flops = m / Median(walks);  // 2 m n k per 2 n k bytes
      std::printf("  m=%-3d %4.2f %4.2f", m, Median(walks) / Median(reads), flops / Median(peaks));
      std::fflush(stdout);
    }
    std::printf("\n");
  }

  void Run() {
    std::printf("path %s; per m: time as a multiple of reading W, and share of the FMA peak\n",
                ops_->Name().data());
    std::printf("read %.1f GB/s, FMA peak %.1f GFLOP/s (one core, now)\n", 1e-9 / Read(),
                FmaPeakFlops(4000000) * 1e-9);
    for (const Product& p : kProducts) Row(p);
  }

 private:
  const int rounds_;
  const std::unique_ptr<Ops> ops_;
  const Bf16Buffer w_;
  std::vector<float> x_;
  std::vector<float> y_;
  uint64_t checksum_ = 0;
};

}  // namespace
}  // namespace rackmark

int main(int argc, char** argv) {
  rackmark::Bench(argc > 1 ? std::max(1, std::atoi(argv[1])) : 7).Run();
  return 0;
}
