// The one place where a rate's numerator is defined (MEASURING.md derives each). Pure. Rates of
// nothing, or in no time, are missing: never 0 and never infinite.
#pragma once

#include <cstdint>
#include <optional>

#include "common/time.h"

namespace rackmark {

enum class CollectiveKind { kAllReduce, kAllGather, kReduceScatter, kAllToAll, kBroadcast };

// busbw = algbw * this.
double BusFactor(CollectiveKind kind, int world);
// 10^9 bytes/s: S / t. S is CollectiveTiming::bytes.
std::optional<double> AlgorithmGigabytesPerSecond(uint64_t bytes, Nanos time);
// world 1 moves nothing between ranks: missing.
std::optional<double> BusGigabytesPerSecond(CollectiveKind kind, int world, uint64_t bytes,
                                            Nanos time);

// y (m, n) = x (m, k) W (n, k)^T.
struct MatMulWork {
  double flops = 0;  // 2 m n k
  double bytes = 0;  // W in bf16 once, x and y in fp32 once: the least that must move
};
MatMulWork WorkOfMatMul(int m, int n, int k);

// What one token at this context length reads and computes in one layer's attention.
struct AttentionWork {
  double flops = 0;     // q k^T and p v: 4 * heads * head_dim * context
  double kv_bytes = 0;  // k and v in bf16: 4 * kv_heads * head_dim * context
};
struct AttentionSize {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
};
AttentionWork WorkOfAttention(const AttentionSize& size, int context);

}  // namespace rackmark
