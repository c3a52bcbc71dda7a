// How a shape is cut over the ranks of a tensor-parallel group. Every rank has the same sizes: a
// degree that does not divide is refused with a sentence, never padded. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "common/status.h"
#include "model/presets.h"

namespace rackmark {

// Deterministic mode cuts each row-parallel K into this many fixed segments (PROTOCOL 5).
constexpr uint32_t kDeterministicSegments = 8;

// One rank's part. Column-parallel: q, k, v, gate, up and the head by rows of W (n, k).
// Row-parallel: o and down by columns. The embedding table is whole on every rank.
struct ShardShape {
  uint32_t tensor_parallel = 1;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t q_dim = 0;   // heads * head_dim
  uint32_t kv_dim = 0;  // kv_heads * head_dim
  uint32_t intermediate = 0;
  uint32_t vocab = 0;  // rows of the head
};

// INVALID_ARGUMENT says which dimension the degree does not divide, and which degrees are possible.
absl::StatusOr<ShardShape> ShardOf(const ModelShape& shape, uint32_t tensor_parallel,
                                   bool deterministic);
// Ascending; 1 is always one of them in fast mode.
std::vector<uint32_t> TensorParallelDegrees(const ModelShape& shape, bool deterministic);

}  // namespace rackmark
