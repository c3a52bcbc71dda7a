#include "worker/serving/block_pool.h"

namespace rackmark {

BlockPool::BlockPool(uint32_t blocks) {
  free_.reserve(blocks);
  where_.resize(blocks);
  for (uint32_t i = 0; i < blocks; ++i) {
    const uint32_t block = blocks - 1 - i;
    where_[block] = i;
    free_.push_back(block);
  }
}

bool BlockPool::Take(uint32_t block) {
  if (!IsFree(block)) return false;
  const auto hole = static_cast<size_t>(where_[block]);
  free_[hole] = free_.back();
  where_[free_[hole]] = static_cast<int64_t>(hole);
  free_.pop_back();
  where_[block] = -1;
  return true;
}

bool BlockPool::Give(uint32_t block) {
  if (block >= where_.size() || where_[block] >= 0) return false;
  where_[block] = static_cast<int64_t>(free_.size());
  free_.push_back(block);
  return true;
}

}  // namespace rackmark
