#include "worker/serving/block_pool.h"

namespace rackmark {

bool BlockPool::Take(uint32_t block) { return IsFree(block) && Share(block); }

bool BlockPool::Share(uint32_t block) {
  if (block >= total()) return false;
  if (holders_[block]++ == 0) ++used_;
  return true;
}

bool BlockPool::Give(uint32_t block) {
  if (block >= total() || holders_[block] == 0) return false;
  if (--holders_[block] == 0) --used_;
  return true;
}

}  // namespace rackmark
