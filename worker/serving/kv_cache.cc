#include "worker/serving/kv_cache.h"

#include <algorithm>

namespace rackmark {

KvStorage::KvStorage(const Options& options)
    : options_(options),
      per_layer_(uint64_t{options.blocks} * options.kv_heads * options.block_tokens *
                 options.head_dim),
      elements_(2 * per_layer_ * options.layers) {}

absl::StatusOr<std::unique_ptr<KvStorage>> KvStorage::Create(const Options& options) {
  std::unique_ptr<KvStorage> storage(new KvStorage(options));
  storage->memory_ = AllocateBf16(storage->elements_);
  if (storage->memory_ == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for ", storage->bytes(), " bytes of KV cache"));
  }
  std::fill_n(storage->memory_.get(), storage->elements_, Bf16{});
  return storage;
}

KvCache KvStorage::Layer(uint32_t layer) const {
  RACKMARK_CHECK(layer < options_.layers);
  KvCache cache;
  cache.k = memory_.get() + 2 * per_layer_ * layer;
  cache.v = cache.k + per_layer_;
  cache.blocks = static_cast<int>(options_.blocks);
  cache.kv_heads = static_cast<int>(options_.kv_heads);
  cache.block_tokens = static_cast<int>(options_.block_tokens);
  cache.head_dim = static_cast<int>(options_.head_dim);
  return cache;
}

}  // namespace rackmark
