// The memory of a rank's paged KV cache, all layers in one allocation, taken and touched in Create:
// a measured step never meets a page for the first time. Who owns which block is BlockPool's.
#pragma once

#include <cstdint>
#include <memory>

#include "common/status.h"
#include "kernels/ops.h"
#include "worker/serving/weights.h"

namespace rackmark {

class KvStorage {
 public:
  struct Options {
    uint32_t layers = 0;
    uint32_t blocks = 0;
    uint32_t kv_heads = 0;  // on this rank
    uint32_t block_tokens = 0;
    uint32_t head_dim = 0;
  };
  static absl::StatusOr<std::unique_ptr<KvStorage>> Create(const Options& options);
  // A view of one layer.
  KvCache Layer(uint32_t layer) const;
  uint64_t bytes() const { return elements_ * sizeof(Bf16); }

 private:
  explicit KvStorage(const Options& options);

  const Options options_;
  const uint64_t per_layer_;  // elements of k, and as many of v
  const uint64_t elements_;
  Bf16Buffer memory_;  // (layers, 2, blocks, kv_heads, block_tokens, head_dim)
};

}  // namespace rackmark
