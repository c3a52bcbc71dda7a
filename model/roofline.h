// The physical floor of a decode step: the bytes that must be read, over what the memory gives.
//   bytes(rank) = weights without the embedding table, this rank's part
//               + batch * context * 2 * layers * kv_heads/tp * head_dim * 2 B
//   floor step  = bytes / read bandwidth of the rank;  floor tokens/s = batch / floor step
// Collectives and arithmetic come on top: nothing is faster than the floor. Pure.
#pragma once

#include <cstdint>

#include "model/memory.h"

namespace rackmark {

struct DecodeStep {
  double batch = 1;    // sequences that decode; a mean over steps may be a fraction
  double context = 0;  // tokens that each of them attends to, mean
};

// Bytes that one rank reads in one decode step.
double DecodeBytesPerRank(const ModelShape& shape, const ShardShape& shard, const DecodeStep& step);

struct DecodeFloor {
  double step_seconds = 0;
  double tokens_per_second = 0;  // of the gang: all ranks work on the same tokens
};
// `read_bytes_per_second` is what one rank's memory gives while all ranks read.
DecodeFloor DecodeFloorOf(const ModelShape& shape, const ShardShape& shard, const DecodeStep& step,
                          double read_bytes_per_second);

// What the gang reads: constant part per step, and per decoding sequence at this context.
double GangWeightBytesPerStep(const ModelShape& shape, const ShardShape& shard);
double GangKvBytesPerSequence(const ModelShape& shape, const ShardShape& shard, double context);

// Bytes of one all-reduce of a step with `rows` tokens, and how many such there are (2 per layer).
uint64_t AllReduceBytes(const ModelShape& shape, uint32_t rows);
uint32_t AllReducesPerStep(const ModelShape& shape);

}  // namespace rackmark
