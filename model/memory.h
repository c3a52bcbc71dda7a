// What a shape costs in bytes, per rank: weights, KV cache, activations. bf16 weights and KV cache,
// fp32 activations. Pure; formulas in README.md.
#pragma once

#include <cstdint>
#include <optional>

#include "model/shard.h"

namespace rackmark {

constexpr uint64_t kWeightBytes = 2;      // bf16
constexpr uint64_t kKvBytes = 2;          // bf16
constexpr uint64_t kActivationBytes = 4;  // fp32

// All parameters of the unsharded model.
uint64_t ParameterCount(const ModelShape& shape);

struct WeightBytes {
  uint64_t embedding = 0;  // whole on every rank; only a few rows are read in a step
  uint64_t matrices = 0;   // this rank's parts of all layers' matrices and of the head
  uint64_t norms = 0;      // whole on every rank
  uint64_t total() const { return embedding + matrices + norms; }
  uint64_t read_per_step() const { return matrices + norms; }
};
WeightBytes WeightBytesPerRank(const ModelShape& shape, const ShardShape& shard);

// K and V of all layers for one token, this rank's heads.
uint64_t KvBytesPerTokenPerRank(const ModelShape& shape, const ShardShape& shard);
// Blocks that `gang_bytes`, shared evenly by all ranks, can hold. 0 if not even one fits.
uint64_t KvBlocks(const ModelShape& shape, const ShardShape& shard, uint64_t gang_bytes,
                  uint32_t block_tokens);

// Buffers for a step of at most `rows` tokens, of which at most `sampled` get logits.
uint64_t ActivationBytesPerRank(const ModelShape& shape, const ShardShape& shard, uint32_t rows,
                                uint32_t sampled);

}  // namespace rackmark
