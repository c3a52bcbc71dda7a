#include "worker/serving/reference_model.h"

#include <cmath>

#include "common/status.h"
#include "worker/serving/weights.h"

namespace rackmark {
namespace {

// Activations are kept by feature: a[i * tokens + t]. The inner loop over tokens adds to
// independent sums.
using Features = std::vector<float>;

class Decoder {
 public:
  Decoder(const ModelShape& shape, uint64_t seed, size_t tokens)
      : shape_(shape), source_(shape, seed), tokens_(tokens) {}

  Features Embed(const std::vector<int32_t>& ids) const {
    Features x(size_t{shape_.hidden} * tokens_);
    std::vector<Bf16> row(shape_.hidden);
    for (size_t t = 0; t < tokens_; ++t) {
      source_.Read({TensorKind::kEmbedding, 0, static_cast<uint32_t>(ids[t]), 0, shape_.hidden},
                   row.data());
      for (size_t i = 0; i < row.size(); ++i) x[i * tokens_ + t] = ToFloat(row[i]);
    }
    return x;
  }

  Features Norm(TensorKind kind, uint32_t layer, const Features& x) const {
    std::vector<Bf16> weight(shape_.hidden);
    source_.Read({kind, layer, 0, 0, shape_.hidden}, weight.data());
    Features out(x.size());
    for (size_t t = 0; t < tokens_; ++t) {
      double squares = 0;
      for (size_t i = 0; i < shape_.hidden; ++i) {
        squares += double{x[i * tokens_ + t]} * x[i * tokens_ + t];
      }
      const double inverse = 1 / std::sqrt(squares / shape_.hidden + double{shape_.rms_eps});
      for (size_t i = 0; i < shape_.hidden; ++i) {
        out[i * tokens_ + t] =
            static_cast<float>(x[i * tokens_ + t] * inverse) * ToFloat(weight[i]);
      }
    }
    return out;
  }

  Features Multiply(TensorKind kind, uint32_t layer, uint32_t rows, const Features& x) const {
    const uint32_t columns = source_.Columns(kind);
    std::vector<Bf16> row(columns);
    Features y(size_t{rows} * tokens_);
    for (uint32_t r = 0; r < rows; ++r) {
      source_.Read({kind, layer, r, 0, columns}, row.data());
      float* out = y.data() + size_t{r} * tokens_;
      for (size_t c = 0; c < columns; ++c) {
        const float w = ToFloat(row[c]);
        const float* in = x.data() + c * tokens_;
        for (size_t t = 0; t < tokens_; ++t) out[t] += w * in[t];
      }
    }
    return y;
  }

  void Rotate(const std::vector<double>& frequencies, uint32_t heads, Features& x) const {
    const size_t half = frequencies.size();
    for (size_t head = 0; head < heads; ++head) {
      for (size_t i = 0; i < half; ++i) {
        float* a = x.data() + (head * 2 * half + i) * tokens_;
        float* b = a + half * tokens_;
        for (size_t t = 0; t < tokens_; ++t) {
          const double angle = static_cast<double>(t) * frequencies[i];
          const double c = std::cos(angle), s = std::sin(angle), p = a[t], q = b[t];
          a[t] = static_cast<float>(p * c - q * s);
          b[t] = static_cast<float>(q * c + p * s);
        }
      }
    }
  }

  // The cache holds bf16: so does the reference, or the comparison would need a wide tolerance.
  static void RoundToCache(Features& x) {
    for (float& v : x) v = ToFloat(ToBf16(v));
  }

  Features Attend(const Features& q, const Features& k, const Features& v) const {
    const size_t dim = shape_.head_dim;
    const size_t group = shape_.heads / shape_.kv_heads;
    Features out(q.size());
    std::vector<double> p(tokens_);
    for (size_t head = 0; head < shape_.heads; ++head) {
      const size_t of_q = head * dim * tokens_, of_kv = head / group * dim * tokens_;
      for (size_t t = 0; t < tokens_; ++t) {
        double largest = -INFINITY, total = 0;
        for (size_t s = 0; s <= t; ++s) {
          double dot = 0;
          for (size_t i = 0; i < dim; ++i) {
            dot += double{q[of_q + i * tokens_ + t]} * k[of_kv + i * tokens_ + s];
          }
          p[s] = dot / std::sqrt(static_cast<double>(dim));
          largest = std::fmax(largest, p[s]);
        }
        for (size_t s = 0; s <= t; ++s) total += p[s] = std::exp(p[s] - largest);
        for (size_t i = 0; i < dim; ++i) {
          double sum = 0;
          for (size_t s = 0; s <= t; ++s) sum += p[s] * v[of_kv + i * tokens_ + s];
          out[of_q + i * tokens_ + t] = static_cast<float>(sum / total);
        }
      }
    }
    return out;
  }

 private:
  const ModelShape& shape_;
  const WeightSource source_;
  const size_t tokens_;
};

void AddTo(Features& x, const Features& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

void Layer(const Decoder& decoder, const ModelShape& shape, uint32_t layer, Features& x) {
  const std::vector<double> frequencies = RopeFrequenciesOf(shape);
  Features h = decoder.Norm(TensorKind::kAttentionNorm, layer, x);
  Features q = decoder.Multiply(TensorKind::kQuery, layer, shape.q_dim(), h);
  Features k = decoder.Multiply(TensorKind::kKey, layer, shape.kv_dim(), h);
  Features v = decoder.Multiply(TensorKind::kValue, layer, shape.kv_dim(), h);
  decoder.Rotate(frequencies, shape.heads, q);
  decoder.Rotate(frequencies, shape.kv_heads, k);
  Decoder::RoundToCache(k);
  Decoder::RoundToCache(v);
  AddTo(x, decoder.Multiply(TensorKind::kOutput, layer, shape.hidden, decoder.Attend(q, k, v)));
  h = decoder.Norm(TensorKind::kMlpNorm, layer, x);
  Features gate = decoder.Multiply(TensorKind::kGate, layer, shape.intermediate, h);
  const Features up = decoder.Multiply(TensorKind::kUp, layer, shape.intermediate, h);
  for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
  AddTo(x, decoder.Multiply(TensorKind::kDown, layer, shape.hidden, gate));
}

}  // namespace

std::vector<std::vector<float>> ReferenceLogits(const ModelShape& shape, uint64_t seed,
                                                const std::vector<int32_t>& ids, size_t first) {
  RACKMARK_CHECK(first < ids.size());
  const size_t tokens = ids.size();
  const Decoder decoder(shape, seed, tokens);
  Features x = decoder.Embed(ids);
  for (uint32_t layer = 0; layer < shape.layers; ++layer) Layer(decoder, shape, layer, x);
  const Features logits = decoder.Multiply(TensorKind::kHead, 0, shape.vocab,
                                           decoder.Norm(TensorKind::kFinalNorm, 0, x));
  std::vector<std::vector<float>> out(tokens - first, std::vector<float>(shape.vocab));
  for (size_t t = first; t < tokens; ++t) {
    for (size_t v = 0; v < shape.vocab; ++v) out[t - first][v] = logits[v * tokens + t];
  }
  return out;
}

}  // namespace rackmark
