// What all CPU paths share: tiles of the product, paging, and the operations that are too small to
// need vectors by hand.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "common/status.h"
#include "kernels/collective.h"
#include "kernels/cpu/kernels.h"
#include "kernels/ops.h"

namespace rackmark {
namespace {

constexpr size_t kTokenTileBytes = 256 << 10;  // of x: stays in the second cache of a core
constexpr int kRowBlock = 8;                   // of W: see MatMul in avx2.cc

size_t At(int i) { return static_cast<size_t>(i); }

// Where a block's rows of one kv head begin in the cache. (block_tokens, head_dim)
size_t BlockOffset(const KvCache& cache, int block, int kv_head) {
  RACKMARK_CHECK(block >= 0 && block < cache.blocks);
  return (At(block) * At(cache.kv_heads) + At(kv_head)) * At(cache.block_tokens) *
         At(cache.head_dim);
}

// Floats that begin at a cache line: a vector that straddles two lines costs two loads.
class AlignedScratch {
 public:
  float* Room(size_t n) {
    constexpr size_t kLine = 64;
    if (n + kLine / sizeof(float) > memory_.size()) memory_.resize(n + kLine / sizeof(float));
    void* at = memory_.data();
    size_t space = memory_.size() * sizeof(float);
    return static_cast<float*>(std::align(kLine, n * sizeof(float), at, space));
  }

 private:
  std::vector<float> memory_;
};

class CpuOps : public Ops {
 public:
  explicit CpuOps(const CpuKernels& kernels) : kernels_(kernels) {}
  std::string_view Name() const override { return kernels_.name; }

  void Embed(const int32_t* ids, int m, int hidden, const Bf16* table, VocabShard shard,
             float* out) override {
    for (int i = 0; i < m; ++i, out += hidden) {
      const int row = ids[i] - shard.first;
      if (row < 0 || row >= shard.rows) {
        std::fill_n(out, hidden, 0.0F);
        continue;
      }
      const Bf16* from = table + At(row) * At(hidden);
      for (int j = 0; j < hidden; ++j) out[j] = ToFloat(from[j]);
    }
  }

  void RmsNorm(const Norm& shape, const float* x, const Bf16* weight, float* out) override {
    for (int i = 0; i < shape.m; ++i, x += shape.hidden, out += shape.hidden) {
      double lanes[4] = {};
      for (int j = 0; j < shape.hidden; ++j) lanes[j % 4] += static_cast<double>(x[j]) * x[j];
      const double squares = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
      const double mean = squares / shape.hidden + static_cast<double>(shape.epsilon);
      const float scale = static_cast<float>(1 / std::sqrt(mean));
      for (int j = 0; j < shape.hidden; ++j) out[j] = x[j] * scale * ToFloat(weight[j]);
    }
  }

  void Add(size_t n, const float* y, float* x) override {
    for (size_t i = 0; i < n; ++i) x[i] += y[i];
  }

  void MatMul(const MatMulShape& s, const float* x, const Bf16* w, float* y) override {
    RACKMARK_CHECK(s.k_segments >= 1 && s.k_segments <= kReduceSegments && s.k % s.k_segments == 0);
    // W is streamed from memory once per tile of tokens, so a tile is as large as the cache allows.
    const size_t fits = kTokenTileBytes / (sizeof(float) * At(std::max(s.k, 1)));
    const int tile = std::max(6, static_cast<int>(std::min<size_t>(fits, 1 << 20)));
    for (int m = 0; m < s.m; m += tile) {
      MatMulShape part = s;
      part.m = std::min(tile, s.m - m);
      MatMulTile(part, PackTile(part, x + At(m) * At(s.k)), w, y + At(m) * At(s.n));
    }
  }

  void Rope(const RopeTable& table, const TokenRow* rows, int m, int heads, float* x) override {
    const int half = table.head_dim() / 2;
    for (int i = 0; i < m; ++i) {
      const float* cos = table.Cos(rows[i].position);
      const float* sin = table.Sin(rows[i].position);
      for (int h = 0; h < heads; ++h, x += 2 * half) {
        for (int j = 0; j < half; ++j) {
          const float a = x[j];
          const float b = x[j + half];
          x[j] = a * cos[j] - b * sin[j];
          x[j + half] = b * cos[j] + a * sin[j];
        }
      }
    }
  }

  void AppendKv(const TokenRow* rows, int m, const float* k, const float* v,
                const KvCache& cache) override {
    for (int i = 0; i < m; ++i) {
      const int position = rows[i].position;
      const int block = rows[i].block_table[position / cache.block_tokens];
      for (int h = 0; h < cache.kv_heads; ++h, k += cache.head_dim, v += cache.head_dim) {
        const size_t to =
            BlockOffset(cache, block, h) + At(position % cache.block_tokens) * At(cache.head_dim);
        for (int d = 0; d < cache.head_dim; ++d) {
          cache.k[to + At(d)] = ToBf16(k[d]);
          cache.v[to + At(d)] = ToBf16(v[d]);
        }
      }
    }
  }

  void Attend(const Attention& shape, const float* q, const KvCache& cache, float* out) override {
    RACKMARK_CHECK(shape.heads % cache.kv_heads == 0);
    const int group = shape.heads / cache.kv_heads;
    const size_t step = At(group) * At(cache.head_dim);
    for (int i = 0; i < shape.m; ++i) {
      for (int h = 0; h < cache.kv_heads; ++h, q += step, out += step) {
        AttendGroup(shape.rows[i], {h, group}, q, cache, out);
      }
    }
  }

  void SwiGlu(size_t n, const float* gate, const float* up, float* out) override {
    kernels_.swiglu(n, gate, up, out);
  }

  void ArgmaxRows(int m, int n, const float* logits, Argmax* best) override {
    for (int i = 0; i < m; ++i, logits += n) {
      Argmax top{0, -std::numeric_limits<float>::infinity()};
      for (int j = 0; j < n; ++j) {
        if (logits[j] > top.value) top = {j, logits[j]};
      }
      best[i] = top;
    }
  }

  ReadPass ReadBandwidth(const void* buffer, size_t bytes) override {
    const auto* from = static_cast<const unsigned char*>(buffer);
    ReadPass pass{bytes, kernels_.sum_words(from, bytes / 8)};
    uint64_t last = 0;
    if (bytes % 8 != 0) std::memcpy(&last, from + bytes / 8 * 8, bytes % 8);
    pass.checksum += last;
    return pass;
  }

 private:
  struct HeadGroup {
    int kv_head;
    int heads;  // query heads that share it
  };

  // (segments, m, PackedStride(k of a segment)): each segment is a product of its own.
  const float* PackTile(const MatMulShape& s, const float* x) {
    const int k = s.k / s.k_segments;
    const size_t size = At(s.m) * PackedStride(k);
    float* packed = packed_.Room(size * At(s.k_segments));
    for (int i = 0; i < s.k_segments; ++i) {
      kernels_.pack({s.m, k, At(s.k)}, x + At(i) * At(k), packed + At(i) * size);
    }
    return packed;
  }

  void MatMulTile(const MatMulShape& s, const float* packed, const Bf16* w, float* y) {
    const int k = s.k / s.k_segments;
    const MatMulPiece whole{s.m, kRowBlock, k, PackedStride(k), At(s.k), At(s.n)};
    for (int n = 0; n < s.n; n += kRowBlock) {
      MatMulPiece piece = whole;
      piece.n = std::min(kRowBlock, s.n - n);
      const Bf16* rows = w + At(n) * At(s.k);
      if (s.k_segments == 1) {
        kernels_.matmul(piece, packed, rows, y + n);
      } else {
        MatMulSegments(s, piece, packed, rows, y + n);
      }
    }
  }

  // The same walk through W, but k is cut: each segment's sum is kept, then all are added in a
  // tree.
  void MatMulSegments(const MatMulShape& s, MatMulPiece piece, const float* packed,
                      const Bf16* rows, float* y) {
    const size_t outputs = At(s.m) * kRowBlock;
    partial_.resize(outputs * (kReduceSegments + 1));  // (segments, m, row block), then the sum
    piece.ldy = kRowBlock;
    const float* parts[kReduceSegments];
    for (int i = 0; i < s.k_segments; ++i) {
      float* part = partial_.data() + At(i) * outputs;
      kernels_.matmul(piece, packed + At(i) * At(s.m) * piece.ldx, rows + At(i) * At(piece.k),
                      part);
      parts[i] = part;
    }
    float* sum = partial_.data() + kReduceSegments * outputs;
    TreeSum(parts, s.k_segments, outputs, sum);
    for (int m = 0; m < s.m; ++m) {
      std::copy_n(sum + At(m) * kRowBlock, piece.n, y + At(m) * At(s.n));
    }
  }

  // One token, one kv head. q and out: (group.heads, head_dim).
  void AttendGroup(const TokenRow& row, HeadGroup group, const float* q, const KvCache& cache,
                   float* out) {
    const int context = row.position + 1;
    const size_t head_dim = At(cache.head_dim);
    scores_.resize(At(group.heads) * At(context));  // (heads, context)
    const size_t packed_dim = PackedStride(cache.head_dim);
    float* packed = packed_.Room(At(group.heads) * packed_dim);
    kernels_.pack({group.heads, cache.head_dim, head_dim}, q, packed);
    const int blocks = (context + cache.block_tokens - 1) / cache.block_tokens;
    for (int b = 0; b < blocks; ++b) {
      const int first = b * cache.block_tokens;
      const int tokens = std::min(cache.block_tokens, context - first);
      const Bf16* k = cache.k + BlockOffset(cache, row.block_table[b], group.kv_head);
      kernels_.matmul({group.heads, tokens, cache.head_dim, packed_dim, head_dim, At(context)},
                      packed, k, scores_.data() + first);
    }
    std::fill_n(out, At(group.heads) * head_dim, 0.0F);
    inverse_.resize(At(group.heads));
    const float scale = 1.0F / std::sqrt(static_cast<float>(cache.head_dim));
    for (int g = 0; g < group.heads; ++g) {
      float* scores = scores_.data() + At(g) * At(context);
      const float top = *std::max_element(scores, scores + context);
      inverse_[At(g)] = 1.0F / kernels_.exponentials(scores, context, top, scale);
    }
    for (int b = 0; b < blocks; ++b) {
      const int first = b * cache.block_tokens;
      const int tokens = std::min(cache.block_tokens, context - first);
      const Bf16* v = cache.v + BlockOffset(cache, row.block_table[b], group.kv_head);
      kernels_.weigh({group.heads, tokens, cache.head_dim, At(context)}, scores_.data() + first, v,
                     out);
    }
    for (int g = 0; g < group.heads; ++g) {
      for (size_t d = 0; d < head_dim; ++d) out[At(g) * head_dim + d] *= inverse_[At(g)];
    }
  }

  const CpuKernels& kernels_;
  AlignedScratch packed_;  // activations of a product
  std::vector<float> partial_;
  std::vector<float> scores_;
  std::vector<float> inverse_;  // (heads of a group): 1 / sum of exponentials
};

}  // namespace

CpuPath BestCpuPath() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return CpuPath::kAvx2;
#endif
  return CpuPath::kPortable;
}

std::unique_ptr<Ops> MakeCpuOps(CpuPath path) {
  if (path == CpuPath::kPortable) return std::make_unique<CpuOps>(PortableKernels());
  RACKMARK_CHECK(BestCpuPath() == CpuPath::kAvx2);
  return std::make_unique<CpuOps>(*Avx2Kernels());
}

}  // namespace rackmark
