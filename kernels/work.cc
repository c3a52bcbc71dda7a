#include "kernels/work.h"

#include "common/status.h"

namespace rackmark {

double BusFactor(CollectiveKind kind, int world) {
  RACKMARK_CHECK(world >= 1);
  const double share = (world - 1.0) / world;  // of a rank's data that must leave or enter it
  switch (kind) {
    case CollectiveKind::kAllReduce: return 2 * share;
    case CollectiveKind::kAllGather:
    case CollectiveKind::kReduceScatter:
    case CollectiveKind::kAllToAll: return share;
    case CollectiveKind::kBroadcast: return 1;
  }
  RACKMARK_CHECK(false);
}

std::optional<double> AlgorithmGigabytesPerSecond(uint64_t bytes, Nanos time) {
  if (bytes == 0 || time <= 0) return std::nullopt;
  return static_cast<double>(bytes) / static_cast<double>(time);  // bytes/ns = 10^9 bytes/s
}

std::optional<double> BusGigabytesPerSecond(CollectiveKind kind, int world, uint64_t bytes,
                                            Nanos time) {
  const auto rate = AlgorithmGigabytesPerSecond(bytes, time);
  if (!rate || world < 2) return std::nullopt;
  return *rate * BusFactor(kind, world);
}

MatMulWork WorkOfMatMul(int m, int n, int k) {
  const double tokens = m;
  const double rows = n;
  const double columns = k;
  return {2 * tokens * rows * columns,
          2 * rows * columns + 4 * tokens * columns + 4 * tokens * rows};
}

AttentionWork WorkOfAttention(const AttentionSize& size, int context) {
  const double positions = context;
  return {4 * positions * size.heads * size.head_dim,
          4 * positions * size.kv_heads * size.head_dim};
}

}  // namespace rackmark
