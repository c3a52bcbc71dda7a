#include "model/roofline.h"

namespace rackmark {

double DecodeBytesPerRank(const ModelShape& shape, const ShardShape& shard,
                          const DecodeStep& step) {
  const double weights = static_cast<double>(WeightBytesPerRank(shape, shard).read_per_step());
  const double kv = static_cast<double>(KvBytesPerTokenPerRank(shape, shard));
  return weights + step.batch * step.context * kv;
}

DecodeFloor DecodeFloorOf(const ModelShape& shape, const ShardShape& shard, const DecodeStep& step,
                          double read_bytes_per_second) {
  RACKMARK_CHECK(read_bytes_per_second > 0);
  DecodeFloor floor;
  floor.step_seconds = DecodeBytesPerRank(shape, shard, step) / read_bytes_per_second;
  floor.tokens_per_second = step.batch / floor.step_seconds;
  return floor;
}

double GangWeightBytesPerStep(const ModelShape& shape, const ShardShape& shard) {
  return DecodeBytesPerRank(shape, shard, {0, 0}) * shard.tensor_parallel;
}

double GangKvBytesPerSequence(const ModelShape& shape, const ShardShape& shard, double context) {
  return static_cast<double>(KvBytesPerTokenPerRank(shape, shard)) * shard.tensor_parallel *
         context;
}

uint64_t AllReduceBytes(const ModelShape& shape, uint32_t rows) {
  return uint64_t{rows} * shape.hidden * kActivationBytes;
}

uint32_t AllReducesPerStep(const ModelShape& shape) { return 2 * shape.layers; }

}  // namespace rackmark
