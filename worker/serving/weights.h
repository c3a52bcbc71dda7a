// This rank's shard of a synthetic model. Every value is a function of (seed, tensor, offset in the
// whole tensor), so that all tensor-parallel degrees hold the same model and can be compared token
// for token. Uniform with the variance that keeps activations near 1 (1 / fan-in), bf16.
// Immutable after Create; any thread reads.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/status.h"
#include "kernels/bf16.h"
#include "model/shard.h"

namespace rackmark {

enum class TensorKind : uint64_t {
  kEmbedding,
  kHead,
  kFinalNorm,
  kAttentionNorm,
  kQuery,
  kKey,
  kValue,
  kOutput,
  kMlpNorm,
  kGate,
  kUp,
  kDown,
};

// Where the numbers come from; the reference decoder reads the same source.
class WeightSource {
 public:
  WeightSource(const ModelShape& shape, uint64_t seed) : shape_(shape), seed_(seed) {}
  // Columns [begin, begin + n) of one row of the whole tensor. Norms are one row.
  struct Slice {
    TensorKind kind = TensorKind::kEmbedding;
    uint32_t layer = 0;
    uint32_t row = 0;
    uint32_t begin = 0;
    uint32_t n = 0;
  };
  void Read(const Slice& slice, Bf16* out) const;
  // Columns of the whole tensor: its k.
  uint32_t Columns(TensorKind kind) const;

 private:
  const ModelShape shape_;
  const uint64_t seed_;
};

// Memory that streams well: aligned to large pages, which it asks for; nothing thrown.
struct AlignedDelete {
  void operator()(Bf16* p) const;
};
using Bf16Buffer = std::unique_ptr<Bf16[], AlignedDelete>;
// Null if the memory is not there.
Bf16Buffer AllocateBf16(uint64_t elements);

struct LayerWeights {
  Bf16* attention_norm = nullptr;  // (hidden)
  Bf16* query = nullptr;           // (q_dim / tp, hidden)
  Bf16* key = nullptr;             // (kv_dim / tp, hidden)
  Bf16* value = nullptr;           // (kv_dim / tp, hidden)
  Bf16* output = nullptr;          // (hidden, q_dim / tp)
  Bf16* mlp_norm = nullptr;        // (hidden)
  Bf16* gate = nullptr;            // (intermediate / tp, hidden)
  Bf16* up = nullptr;              // (intermediate / tp, hidden)
  Bf16* down = nullptr;            // (hidden, intermediate / tp)
};

class Weights {
 public:
  static absl::StatusOr<std::unique_ptr<Weights>> Create(const ModelShape& shape,
                                                         const ShardShape& shard, uint32_t rank,
                                                         uint64_t seed);
  const Bf16* embedding() const { return embedding_; }    // (vocab, hidden), whole on every rank
  const Bf16* head() const { return head_; }              // (vocab / tp, hidden)
  const Bf16* final_norm() const { return final_norm_; }  // (hidden)
  const LayerWeights& layer(uint32_t i) const { return layers_[i]; }
  // What a decode step reads: all but the embedding table, in one piece.
  const void* streamed() const { return head_; }
  uint64_t streamed_bytes() const { return streamed_elements_ * sizeof(Bf16); }
  uint64_t bytes() const { return elements_ * sizeof(Bf16); }

 private:
  Weights() = default;
  void Carve(const ModelShape& shape, const ShardShape& shard);
  void Fill(const ModelShape& shape, const ShardShape& shard, uint32_t rank,
            const WeightSource& source);

  Bf16Buffer memory_;
  uint64_t elements_ = 0;
  uint64_t streamed_elements_ = 0;
  Bf16* embedding_ = nullptr;
  Bf16* head_ = nullptr;
  Bf16* final_norm_ = nullptr;
  std::vector<LayerWeights> layers_;
};

}  // namespace rackmark
