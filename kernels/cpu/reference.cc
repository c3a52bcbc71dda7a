#include "kernels/cpu/reference.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "common/status.h"

namespace rackmark {
namespace {

size_t At(int i) { return static_cast<size_t>(i); }

// Where element d of kv head h at this row's sequence position lies in the cache.
size_t CacheIndex(const KvCache& cache, const TokenRow& row, int position, int h) {
  const int block = row.block_table[position / cache.block_tokens];
  const int token = position % cache.block_tokens;
  return ((At(block) * At(cache.kv_heads) + At(h)) * At(cache.block_tokens) + At(token)) *
         At(cache.head_dim);
}

class ReferenceOps : public Ops {
 public:
  std::string_view Name() const override { return "reference"; }

  void Embed(const int32_t* ids, int m, int hidden, const Bf16* table, VocabShard shard,
             float* out) override {
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < hidden; ++j) {
        const int row = ids[i] - shard.first;
        const bool mine = row >= 0 && row < shard.rows;
        out[At(i) * At(hidden) + At(j)] = mine ? ToFloat(table[At(row) * At(hidden) + At(j)]) : 0;
      }
    }
  }

  void RmsNorm(const Norm& shape, const float* x, const Bf16* weight, float* out) override {
    for (int i = 0; i < shape.m; ++i) {
      const float* row = x + At(i) * At(shape.hidden);
      double squares = 0;
      for (int j = 0; j < shape.hidden; ++j) squares += static_cast<double>(row[j]) * row[j];
      const double scale =
          1 / std::sqrt(squares / shape.hidden + static_cast<double>(shape.epsilon));
      for (int j = 0; j < shape.hidden; ++j) {
        out[At(i) * At(shape.hidden) + At(j)] =
            static_cast<float>(row[j] * scale * static_cast<double>(ToFloat(weight[j])));
      }
    }
  }

  void Add(size_t n, const float* y, float* x) override {
    for (size_t i = 0; i < n; ++i) x[i] += y[i];
  }

  void MatMul(const MatMulShape& s, const float* x, const Bf16* w, float* y) override {
    for (int m = 0; m < s.m; ++m) {
      for (int n = 0; n < s.n; ++n) {
        double sum = 0;
        for (int k = 0; k < s.k; ++k) {
          sum += static_cast<double>(x[At(m) * At(s.k) + At(k)]) *
                 static_cast<double>(ToFloat(w[At(n) * At(s.k) + At(k)]));
        }
        y[At(m) * At(s.n) + At(n)] = static_cast<float>(sum);
      }
    }
  }

  void Rope(const RopeTable& table, const TokenRow* rows, int m, int heads, float* x) override {
    const int half = table.head_dim() / 2;
    for (int i = 0; i < m; ++i) {
      for (int h = 0; h < heads; ++h) {
        float* head = x + (At(i) * At(heads) + At(h)) * At(table.head_dim());
        for (int j = 0; j < half; ++j) {
          const double c = table.Cos(rows[i].position)[j];
          const double s = table.Sin(rows[i].position)[j];
          const double a = head[j];
          const double b = head[j + half];
          head[j] = static_cast<float>(a * c - b * s);
          head[j + half] = static_cast<float>(b * c + a * s);
        }
      }
    }
  }

  void AppendKv(const TokenRow* rows, int m, const float* k, const float* v,
                const KvCache& cache) override {
    for (int i = 0; i < m; ++i) {
      for (int h = 0; h < cache.kv_heads; ++h) {
        const size_t to = CacheIndex(cache, rows[i], rows[i].position, h);
        const size_t from = (At(i) * At(cache.kv_heads) + At(h)) * At(cache.head_dim);
        for (int d = 0; d < cache.head_dim; ++d) {
          cache.k[to + At(d)] = ToBf16(k[from + At(d)]);
          cache.v[to + At(d)] = ToBf16(v[from + At(d)]);
        }
      }
    }
  }

  void Attend(const Attention& shape, const float* q, const KvCache& cache, float* out) override {
    for (int i = 0; i < shape.m; ++i) {
      for (int h = 0; h < shape.heads; ++h) {
        const size_t at = (At(i) * At(shape.heads) + At(h)) * At(cache.head_dim);
        const int kv_head = h / (shape.heads / cache.kv_heads);
        AttendHead(shape.rows[i], kv_head, q + at, cache, out + at);
      }
    }
  }

  void SwiGlu(size_t n, const float* gate, const float* up, float* out) override {
    for (size_t i = 0; i < n; ++i) {
      const double g = gate[i];
      out[i] = static_cast<float>(g / (1 + std::exp(-g)) * static_cast<double>(up[i]));
    }
  }

  void ArgmaxRows(int m, int n, const float* logits, Argmax* best) override {
    for (int i = 0; i < m; ++i) {
      best[i] = {0, -INFINITY};
      for (int j = 0; j < n; ++j) {
        best[i] = Better(best[i], {j, logits[At(i) * At(n) + At(j)]});
      }
    }
  }

  ReadPass ReadBandwidth(const void* buffer, size_t bytes) override {
    const auto* from = static_cast<const unsigned char*>(buffer);
    ReadPass pass{bytes, 0};
    for (size_t i = 0; i < bytes; ++i) {
      pass.checksum += static_cast<uint64_t>(from[i]) << (8 * (i % 8));
    }
    return pass;
  }

 private:
  static void AttendHead(const TokenRow& row, int kv_head, const float* q, const KvCache& cache,
                         float* out) {
    std::vector<double> weights(At(row.position) + 1);
    double total = 0;
    double top = -INFINITY;
    for (int t = 0; t <= row.position; ++t) {
      const Bf16* k = cache.k + CacheIndex(cache, row, t, kv_head);
      double dot = 0;
      for (int d = 0; d < cache.head_dim; ++d) {
        dot += static_cast<double>(q[d]) * static_cast<double>(ToFloat(k[d]));
      }
      weights[At(t)] = dot / std::sqrt(static_cast<double>(cache.head_dim));
      top = std::max(top, weights[At(t)]);
    }
    for (double& weight : weights) total += weight = std::exp(weight - top);
    for (int d = 0; d < cache.head_dim; ++d) {
      double sum = 0;
      for (int t = 0; t <= row.position; ++t) {
        const Bf16* v = cache.v + CacheIndex(cache, row, t, kv_head);
        sum += weights[At(t)] / total * static_cast<double>(ToFloat(v[d]));
      }
      out[d] = static_cast<float>(sum);
    }
  }
};

}  // namespace

std::unique_ptr<Ops> MakeReferenceOps() { return std::make_unique<ReferenceOps>(); }

}  // namespace rackmark
