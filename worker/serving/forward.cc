#include "worker/serving/forward.h"

#include <algorithm>
#include <cmath>

#include "worker/serving/engine.h"

namespace rackmark {
namespace {

size_t Times(uint32_t a, uint32_t b) { return size_t{a} * b; }

}  // namespace

Forward::Forward(const Options& options, const Parts& parts)
    : options_(options),
      parts_(parts),
      k_segments_(options.deterministic
                      ? ReduceSegmentsOf(static_cast<int>(options.shard.tensor_parallel))
                      : 1),
      rope_(RopeFrequenciesOf(options.shape), static_cast<int>(options.positions_max)),
      x_(Times(options.rows_max, options.shape.hidden)),
      h_(Times(options.rows_max, options.shape.hidden)),
      delta_(Times(options.rows_max, options.shape.hidden)),
      q_(Times(options.rows_max, options.shard.q_dim)),
      k_(Times(options.rows_max, options.shard.kv_dim)),
      v_(Times(options.rows_max, options.shard.kv_dim)),
      mixed_(Times(options.rows_max, options.shard.q_dim)),
      gate_(Times(options.rows_max, options.shard.intermediate)),
      up_(Times(options.rows_max, options.shard.intermediate)),
      last_(Times(options.samples_max, options.shape.hidden)),
      logits_(Times(options.samples_max, options.shard.vocab)),
      best_(options.samples_max),
      all_(Times(options.samples_max, options.shard.tensor_parallel)) {
  for (uint32_t i = 0; i < options.shape.layers; ++i) kv_.push_back(parts.kv->Layer(i));
}

uint32_t Forward::vocab_first() const {
  return static_cast<uint32_t>(parts_.collective->rank()) * options_.shard.vocab;
}

// y (m, n) = x (m, hidden) W^T: the k of a column-parallel matrix is never split.
MatMulShape Forward::Column(int m, uint32_t n) const {
  return {m, static_cast<int>(n), static_cast<int>(options_.shape.hidden), 1};
}

// y (m, hidden) = x (m, k) W^T: k is this rank's share.
MatMulShape Forward::Row(int m, uint32_t k) const {
  return {m, static_cast<int>(options_.shape.hidden), static_cast<int>(k), k_segments_};
}

void Forward::Count(const CollectiveTiming& timing, bool gather) {
  totals_.wait += timing.wait;
  totals_.transfer += timing.transfer;
  totals_.lateness += timing.lateness;
  records_->push_back({gather ? CollectiveOp::kAllGather : CollectiveOp::kAllReduce, timing.bytes,
                       timing.wait, timing.transfer, parts_.clock->Monotonic()});
}

absl::Status Forward::ReduceAndAdd(int m) {
  const size_t n = static_cast<size_t>(m) * options_.shape.hidden;
  if (options_.shard.tensor_parallel > 1) {
    ASSIGN_OR_RETURN(const CollectiveTiming timing,
                     parts_.collective->AllReduceSum(delta_.data(), n));
    Count(timing, /*gather=*/false);
  }
  parts_.ops->Add(n, delta_.data(), x_.data());
  return absl::OkStatus();
}

absl::Status Forward::Attention(uint32_t layer, const Batch& batch) {
  const ShardShape& shard = options_.shard;
  const LayerWeights& w = parts_.weights->layer(layer);
  const int m = static_cast<int>(batch.rows.size());
  const int heads = static_cast<int>(shard.heads);
  const int kv_heads = static_cast<int>(shard.kv_heads);
  Ops& ops = *parts_.ops;
  ops.RmsNorm({m, static_cast<int>(options_.shape.hidden), options_.shape.rms_eps}, x_.data(),
              w.attention_norm, h_.data());
  ops.MatMul(Column(m, shard.q_dim), h_.data(), w.query, q_.data());
  ops.MatMul(Column(m, shard.kv_dim), h_.data(), w.key, k_.data());
  ops.MatMul(Column(m, shard.kv_dim), h_.data(), w.value, v_.data());
  ops.Rope(rope_, batch.rows.data(), m, heads, q_.data());
  ops.Rope(rope_, batch.rows.data(), m, kv_heads, k_.data());
  ops.AppendKv(batch.rows.data(), m, k_.data(), v_.data(), kv_[layer]);
  ops.Attend({batch.rows.data(), m, heads}, q_.data(), kv_[layer], mixed_.data());
  ops.MatMul(Row(m, shard.q_dim), mixed_.data(), w.output, delta_.data());
  return ReduceAndAdd(m);
}

absl::Status Forward::Mlp(uint32_t layer, int m) {
  const ShardShape& shard = options_.shard;
  const LayerWeights& w = parts_.weights->layer(layer);
  Ops& ops = *parts_.ops;
  ops.RmsNorm({m, static_cast<int>(options_.shape.hidden), options_.shape.rms_eps}, x_.data(),
              w.mlp_norm, h_.data());
  ops.MatMul(Column(m, shard.intermediate), h_.data(), w.gate, gate_.data());
  ops.MatMul(Column(m, shard.intermediate), h_.data(), w.up, up_.data());
  ops.SwiGlu(static_cast<size_t>(m) * shard.intermediate, gate_.data(), up_.data(), gate_.data());
  ops.MatMul(Row(m, shard.intermediate), gate_.data(), w.down, delta_.data());
  return ReduceAndAdd(m);
}

absl::Status Forward::Sample(const Batch& batch) {
  const ShardShape& shard = options_.shard;
  const uint32_t hidden = options_.shape.hidden;
  const size_t count = batch.samples.size();
  const int n = static_cast<int>(count);
  for (size_t i = 0; i < count; ++i) {
    std::copy_n(x_.data() + Times(batch.samples[i], hidden), hidden, h_.data() + i * hidden);
  }
  Ops& ops = *parts_.ops;
  ops.RmsNorm({n, static_cast<int>(hidden), options_.shape.rms_eps}, h_.data(),
              parts_.weights->final_norm(), last_.data());
  ops.MatMul(Column(n, shard.vocab), last_.data(), parts_.weights->head(), logits_.data());
  ops.ArgmaxRows(n, static_cast<int>(shard.vocab), logits_.data(), best_.data());
  if (shard.tensor_parallel == 1) return absl::OkStatus();
  for (size_t i = 0; i < count; ++i) best_[i].index += static_cast<int>(vocab_first());
  ASSIGN_OR_RETURN(const CollectiveTiming timing,
                   parts_.collective->AllGather(best_.data(), count * sizeof(Argmax), all_.data()));
  Count(timing, /*gather=*/true);
  for (size_t i = 0; i < count; ++i) {
    best_[i] = all_[i];
    for (size_t r = 1; r < shard.tensor_parallel; ++r) {
      best_[i] = Better(best_[i], all_[r * count + i]);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::span<const Argmax>> Forward::Run(const Batch& batch,
                                                     std::vector<CollectiveRecord>& records) {
  RACKMARK_CHECK(!batch.rows.empty() && batch.rows.size() <= options_.rows_max);
  RACKMARK_CHECK(batch.ids.size() == batch.rows.size());
  RACKMARK_CHECK(batch.samples.size() <= options_.samples_max);
  records_ = &records;
  totals_ = {};
  const int m = static_cast<int>(batch.rows.size());
  const auto vocab = static_cast<int>(options_.shape.vocab);
  parts_.ops->Embed(batch.ids.data(), m, static_cast<int>(options_.shape.hidden),
                    parts_.weights->embedding(), {0, vocab}, x_.data());
  for (uint32_t layer = 0; layer < options_.shape.layers; ++layer) {
    RETURN_IF_ERROR(Attention(layer, batch));
    RETURN_IF_ERROR(Mlp(layer, m));
  }
  if (!batch.samples.empty()) RETURN_IF_ERROR(Sample(batch));
  for (size_t i = 0; i < batch.samples.size(); ++i) {
    if (!std::isfinite(best_[i].value)) {
      return absl::InternalError("a step's logits are not finite: weights or KV cache are damaged");
    }
  }
  return std::span<const Argmax>(best_.data(), batch.samples.size());
}

}  // namespace rackmark
