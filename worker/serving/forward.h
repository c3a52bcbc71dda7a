// One forward pass of this rank's shard over the rows of a step: the layers, their all-reduces, and
// greedy sampling with one all-gather of (value, id) pairs, so that every rank learns every token.
// Owns the activation buffers, sized once; allocates nothing in Run. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "kernels/collective.h"
#include "kernels/ops.h"
#include "model/shard.h"
#include "worker/serving/kv_cache.h"
#include "worker/serving/weights.h"

namespace rackmark {

struct CollectiveRecord;

class Forward {
 public:
  struct Options {
    ModelShape shape;
    ShardShape shard;
    bool deterministic = false;
    uint32_t rows_max = 0;
    uint32_t samples_max = 0;
    uint32_t positions_max = 0;
  };
  struct Parts {
    Ops* ops = nullptr;
    Collective* collective = nullptr;
    const Clock* clock = nullptr;
    const Weights* weights = nullptr;
    const KvStorage* kv = nullptr;
  };
  struct Batch {
    std::span<const int32_t> ids;       // (m)
    std::span<const TokenRow> rows;     // (m)
    std::span<const uint32_t> samples;  // rows whose logits are wanted
  };
  struct CollectiveTotals {
    Nanos wait = 0;
    Nanos transfer = 0;
    Nanos lateness = 0;
  };

  Forward(const Options& options, const Parts& parts);

  // One Argmax per sample, over the whole vocabulary, the same on every rank. Appends to records,
  // which has room.
  absl::StatusOr<std::span<const Argmax>> Run(const Batch& batch,
                                              std::vector<CollectiveRecord>& records);
  const CollectiveTotals& totals() const { return totals_; }  // of the last Run
  const float* logits() const { return logits_.data(); }      // (samples, shard.vocab), last Run
  uint32_t vocab_first() const;

 private:
  absl::Status Attention(uint32_t layer, const Batch& batch);
  absl::Status Mlp(uint32_t layer, int m);
  absl::Status ReduceAndAdd(int m);
  absl::Status Sample(const Batch& batch);
  void Count(const CollectiveTiming& timing, bool gather);
  MatMulShape Column(int m, uint32_t n) const;
  MatMulShape Row(int m, uint32_t k) const;

  const Options options_;
  const Parts parts_;
  const int k_segments_;  // of row-parallel matrices
  const RopeTable rope_;
  std::vector<KvCache> kv_;  // (layers)
  std::vector<CollectiveRecord>* records_ = nullptr;
  CollectiveTotals totals_;
  std::vector<float> x_;       // (rows, hidden), the residual stream
  std::vector<float> h_;       // (rows, hidden), normed
  std::vector<float> delta_;   // (rows, hidden), what a layer's half adds
  std::vector<float> q_;       // (rows, q_dim / tp)
  std::vector<float> k_;       // (rows, kv_dim / tp)
  std::vector<float> v_;       // (rows, kv_dim / tp)
  std::vector<float> mixed_;   // (rows, q_dim / tp), the attention's result
  std::vector<float> gate_;    // (rows, intermediate / tp)
  std::vector<float> up_;      // (rows, intermediate / tp)
  std::vector<float> last_;    // (samples, hidden)
  std::vector<float> logits_;  // (samples, vocab / tp)
  std::vector<Argmax> best_;   // (samples)
  std::vector<Argmax> all_;    // (tp, samples)
};

}  // namespace rackmark
