// The device operations of a Llama-family decoder: bf16 weights and KV cache, fp32 activations.
// One Ops object per rank; it owns scratch memory, so one thread uses it. Sizes are the caller's
// promise: the operations check indices that could leave a buffer, not shapes.
//
// The promise of every operation, fast or deterministic: an output element is computed in an order
// that depends neither on m (who else is in the batch) nor on which rows of W this rank holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/bf16.h"

namespace rackmark {

// The fixed number of pieces that a row-parallel K is cut into in deterministic mode.
constexpr int kReduceSegments = 8;
// This rank's share of them: 8 / tp. tp is 1, 2, 4 or 8 (anything else is a bug of the caller).
int ReduceSegmentsOf(int tensor_parallel);

struct MatMulShape {
  int m = 0;  // tokens
  int n = 0;  // rows of W on this rank
  int k = 0;  // columns of W on this rank
  // 1: one running sum over k (fast; right for column-parallel layers in either mode, because
  // their k is never split). ReduceSegmentsOf(tp): k is cut into so many equal segments (k must be
  // a multiple), whose partial sums are added in one binary tree; with Collective::AllReduceSum on
  // top, tp = 1, 2, 4, 8 give the same bits.
  int k_segments = 1;
};

// One token of a step. Rows of one sequence (a prefill chunk) and of many (decode) mix freely.
struct TokenRow {
  const int32_t* block_table = nullptr;  // (blocks of its sequence): block ids in the KvCache
  int32_t position = 0;                  // 0-based; attends to 0..position
};

// One layer's paged KV cache of this rank. bf16: half the bytes that decode streams, what serving
// engines on GPUs hold, and what model/memory counts. Does not own the memory.
struct KvCache {
  Bf16* k = nullptr;  // (blocks, kv_heads, block_tokens, head_dim)
  Bf16* v = nullptr;  // (blocks, kv_heads, block_tokens, head_dim)
  int blocks = 0;
  int kv_heads = 0;  // on this rank
  int block_tokens = 0;
  int head_dim = 0;
  size_t Elements() const {  // of k, and as many of v
    return static_cast<size_t>(blocks) * static_cast<size_t>(kv_heads) *
           static_cast<size_t>(block_tokens) * static_cast<size_t>(head_dim);
  }
};

// Rows [first, first + rows) of the embedding table or of the head: this rank's part of the
// vocabulary.
struct VocabShard {
  int first = 0;
  int rows = 0;
};

// cos and sin of position * frequency, made once. Immutable, shared by all layers.
class RopeTable {
 public:
  // frequencies: (head_dim / 2), radians per position.
  RopeTable(const std::vector<double>& frequencies, int max_positions);
  int head_dim() const { return 2 * half_; }
  int max_positions() const { return max_positions_; }
  const float* Cos(int position) const { return cos_.data() + Offset(position); }
  const float* Sin(int position) const { return sin_.data() + Offset(position); }

 private:
  size_t Offset(int position) const;
  int half_;
  int max_positions_;
  std::vector<float> cos_;  // (max_positions, head_dim / 2)
  std::vector<float> sin_;
};
// theta^(-2i / head_dim), i = 0 .. head_dim/2 - 1.
std::vector<double> RopeFrequencies(int head_dim, double theta);

struct Argmax {
  int index = 0;  // the lowest index of the largest value; NaN never wins
  float value = 0;
};

struct ReadPass {
  uint64_t bytes = 0;
  uint64_t checksum =
      0;  // sum modulo 2^64 of the buffer's 64-bit words, the last one padded with 0
};

class Ops {
 public:
  virtual ~Ops() = default;
  virtual std::string_view Name() const = 0;  // "avx2", "portable"; later "cuda"

  // out (m, hidden) = table (shard.rows, hidden)[ids (m)]. Ids outside the shard give rows of 0, so
  // that an all-reduce over shards is the full lookup.
  virtual void Embed(const int32_t* ids, int m, int hidden, const Bf16* table, VocabShard shard,
                     float* out) = 0;
  // out (m, hidden) = x (m, hidden) / sqrt(mean(x^2) + epsilon) * weight (hidden).
  struct Norm {
    int m = 0;
    int hidden = 0;
    float epsilon = 1e-5F;
  };
  virtual void RmsNorm(const Norm& shape, const float* x, const Bf16* weight, float* out) = 0;
  // x (n) += y (n).
  virtual void Add(size_t n, const float* y, float* x) = 0;
  // y (m, n) = x (m, k) * W (n, k)^T.
  virtual void MatMul(const MatMulShape& shape, const float* x, const Bf16* w, float* y) = 0;
  // Rotates x (m, heads, head_dim) in place, half-split pairs (i, i + head_dim/2).
  virtual void Rope(const RopeTable& table, const TokenRow* rows, int m, int heads, float* x) = 0;
  // Writes k and v (m, kv_heads, head_dim) at each row's position. Before Attend of the same rows.
  virtual void AppendKv(const TokenRow* rows, int m, const float* k, const float* v,
                        const KvCache& cache) = 0;
  // out (m, heads, head_dim) = softmax(q k^T / sqrt(head_dim)) v, causal. heads is a multiple of
  // cache.kv_heads; head h reads kv head h / (heads / kv_heads).
  struct Attention {
    const TokenRow* rows = nullptr;  // (m)
    int m = 0;
    int heads = 0;  // on this rank
  };
  virtual void Attend(const Attention& shape, const float* q, const KvCache& cache, float* out) = 0;
  // out (n) = silu(gate (n)) * up (n). out may be gate.
  virtual void SwiGlu(size_t n, const float* gate, const float* up, float* out) = 0;
  // best (m), over logits (m, n).
  virtual void ArgmaxRows(int m, int n, const float* logits, Argmax* best) = 0;
  // Reads the whole buffer once, as fast as this device can. The caller takes the time.
  virtual ReadPass ReadBandwidth(const void* buffer, size_t bytes) = 0;
};

enum class CpuPath { kPortable, kAvx2 };
CpuPath BestCpuPath();  // what this CPU has: AVX2 with FMA, or not
// The path must be one that this CPU has.
std::unique_ptr<Ops> MakeCpuOps(CpuPath path = BestCpuPath());

// The better of two shards' candidates for one row, by Argmax's own rule.
Argmax Better(const Argmax& a, const Argmax& b);

}  // namespace rackmark
