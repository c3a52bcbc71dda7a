#include "model/shard.h"

#include <string>
#include <string_view>

namespace rackmark {
namespace {

struct Dimension {
  std::string_view name;
  uint32_t size;
};

// The dimension that keeps `degree` from working, as a clause; empty if none does.
std::string Obstacle(const ModelShape& shape, uint32_t degree, bool deterministic) {
  if (degree == 0) return "a gang has at least one rank";
  const Dimension dimensions[] = {{"attention heads", shape.heads},
                                  {"KV heads", shape.kv_heads},
                                  {"rows of intermediate", shape.intermediate},
                                  {"rows of vocabulary", shape.vocab}};
  for (const Dimension& d : dimensions) {
    if (d.size % degree != 0) {
      return absl::StrCat(degree, " does not divide its ", d.size, " ", ToAbsl(d.name));
    }
  }
  if (!deterministic) return "";
  if (kDeterministicSegments % degree != 0) {
    return absl::StrCat("deterministic mode has ", kDeterministicSegments,
                        " fixed segments, which ", degree, " ranks cannot share evenly");
  }
  const Dimension reduced[] = {{"attention output columns", shape.q_dim()},
                               {"intermediate columns", shape.intermediate}};
  for (const Dimension& d : reduced) {
    if (d.size % kDeterministicSegments != 0) {
      return absl::StrCat("deterministic mode needs ", kDeterministicSegments,
                          " equal segments of its ", d.size, " ", ToAbsl(d.name));
    }
  }
  return "";
}

}  // namespace

absl::StatusOr<ShardShape> ShardOf(const ModelShape& shape, uint32_t tensor_parallel,
                                   bool deterministic) {
  if (const std::string why = Obstacle(shape, tensor_parallel, deterministic); !why.empty()) {
    std::string possible;
    for (const uint32_t degree : TensorParallelDegrees(shape, deterministic)) {
      absl::StrAppend(&possible, possible.empty() ? "" : ", ", degree);
    }
    return absl::InvalidArgumentError(absl::StrCat(
        ToAbsl(shape.name), " cannot run with tensor_parallel ", tensor_parallel, ": ", why,
        possible.empty() ? "; no degree is possible" : "; possible are ", possible));
  }
  ShardShape shard;
  shard.tensor_parallel = tensor_parallel;
  shard.heads = shape.heads / tensor_parallel;
  shard.kv_heads = shape.kv_heads / tensor_parallel;
  shard.q_dim = shard.heads * shape.head_dim;
  shard.kv_dim = shard.kv_heads * shape.head_dim;
  shard.intermediate = shape.intermediate / tensor_parallel;
  shard.vocab = shape.vocab / tensor_parallel;
  return shard;
}

std::vector<uint32_t> TensorParallelDegrees(const ModelShape& shape, bool deterministic) {
  std::vector<uint32_t> degrees;
  for (uint32_t degree = 1; degree <= shape.kv_heads; ++degree) {
    if (Obstacle(shape, degree, deterministic).empty()) degrees.push_back(degree);
  }
  return degrees;
}

}  // namespace rackmark
