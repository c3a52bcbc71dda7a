#include "model/memory.h"

namespace rackmark {
namespace {

uint64_t MatrixElements(const ModelShape& shape, const ShardShape& part) {
  const uint64_t h = shape.hidden;
  const uint64_t attention = 2 * h * part.q_dim + 2 * h * part.kv_dim;  // q, o, k, v
  const uint64_t mlp = 3 * h * part.intermediate;                       // gate, up, down
  return shape.layers * (attention + mlp) + h * part.vocab;             // + head
}

uint64_t NormElements(const ModelShape& shape) { return (2ULL * shape.layers + 1) * shape.hidden; }

}  // namespace

uint64_t ParameterCount(const ModelShape& shape) {
  ShardShape whole;
  whole.q_dim = shape.q_dim();
  whole.kv_dim = shape.kv_dim();
  whole.intermediate = shape.intermediate;
  whole.vocab = shape.vocab;
  return MatrixElements(shape, whole) + NormElements(shape) + uint64_t{shape.vocab} * shape.hidden;
}

WeightBytes WeightBytesPerRank(const ModelShape& shape, const ShardShape& shard) {
  WeightBytes bytes;
  bytes.embedding = uint64_t{shape.vocab} * shape.hidden * kWeightBytes;
  bytes.matrices = MatrixElements(shape, shard) * kWeightBytes;
  bytes.norms = NormElements(shape) * kWeightBytes;
  return bytes;
}

uint64_t KvBytesPerTokenPerRank(const ModelShape& shape, const ShardShape& shard) {
  return 2ULL * shape.layers * shard.kv_dim * kKvBytes;
}

uint64_t KvBlocks(const ModelShape& shape, const ShardShape& shard, uint64_t gang_bytes,
                  uint32_t block_tokens) {
  const uint64_t block = KvBytesPerTokenPerRank(shape, shard) * block_tokens;
  return block == 0 ? 0 : gang_bytes / shard.tensor_parallel / block;
}

uint64_t ActivationBytesPerRank(const ModelShape& shape, const ShardShape& shard, uint32_t rows,
                                uint32_t sampled) {
  // Residual stream, its norm and a layer's output; q and the attention's result; k, v; gate, up.
  const uint64_t per_row =
      3ULL * shape.hidden + 2ULL * shard.q_dim + 2ULL * shard.kv_dim + 2ULL * shard.intermediate;
  const uint64_t per_sample = shape.hidden + uint64_t{shard.vocab};
  return (rows * per_row + sampled * per_sample) * kActivationBytes;
}

}  // namespace rackmark
