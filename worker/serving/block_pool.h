// Which KV blocks are free. The leader takes the next free one, followers take the ones they are
// told; both in constant time. Pure, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rackmark {

class BlockPool {
 public:
  explicit BlockPool(uint32_t blocks);

  uint32_t total() const { return static_cast<uint32_t>(where_.size()); }
  uint32_t free_count() const { return static_cast<uint32_t>(free_.size()); }
  uint32_t used() const { return total() - free_count(); }
  // The n-th free block from the top, without taking it. n < free_count().
  uint32_t Peek(uint32_t n) const { return free_[free_.size() - 1 - n]; }
  bool IsFree(uint32_t block) const { return block < where_.size() && where_[block] >= 0; }
  // False if it is not free.
  bool Take(uint32_t block);
  // False if it is free already.
  bool Give(uint32_t block);

 private:
  std::vector<uint32_t> free_;  // a stack; low block numbers on top at the start
  std::vector<int64_t> where_;  // (blocks): index in free_, -1 if taken
};

}  // namespace rackmark
