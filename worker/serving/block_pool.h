// How many sequences hold each KV block: every rank's mirror of it. Which block is taken next is
// the leader's choice alone (BlockCache). Pure, one thread.
#pragma once

#include <cstdint>
#include <vector>

namespace rackmark {

class BlockPool {
 public:
  explicit BlockPool(uint32_t blocks) : holders_(blocks) {}

  uint32_t total() const { return static_cast<uint32_t>(holders_.size()); }
  uint32_t free_count() const { return total() - used_; }
  uint32_t used() const { return used_; }
  bool IsFree(uint32_t block) const { return block < total() && holders_[block] == 0; }
  // False if it is not free.
  bool Take(uint32_t block);
  // One holder more, the first one perhaps: its content is still what it was. False if there is no
  // such block.
  bool Share(uint32_t block);
  // One holder less. False if it has none.
  bool Give(uint32_t block);

 private:
  std::vector<uint32_t> holders_;
  uint32_t used_ = 0;
};

}  // namespace rackmark
