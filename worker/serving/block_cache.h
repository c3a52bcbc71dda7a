// Which KV block the leader takes next, and which blocks hold the keys and values of a prompt's
// beginning that another prompt may share. A block has a name once its content is planned: a hash
// of all tokens up to its end. A named block that nobody holds stays until its memory is needed;
// the one that was let go first is overwritten first. Pure, one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace rackmark {

class BlockCache {
 public:
  explicit BlockCache(uint32_t blocks);

  // A block that nobody held. There must be one.
  uint32_t Fresh();
  // Whether somebody holds the block with this name; missing: there is none.
  std::optional<bool> Held(uint64_t name) const;
  // One holder more of the block with this name, if there is one.
  std::optional<uint32_t> Share(uint64_t name);
  // The content of a held block is known from the next step on. The first block of a name keeps it.
  void Name(uint32_t block, uint64_t name);
  // One holder less.
  void Release(uint32_t block);
  // Blocks that somebody holds, each counted once.
  uint32_t held() const { return held_; }

 private:
  struct Block {
    uint32_t holders = 0;
    std::optional<uint64_t> name;
    // Neighbours among the named blocks that nobody holds; meaningful for those.
    uint32_t before = 0;
    uint32_t after = 0;
  };
  void Unlink(uint32_t block);

  std::vector<Block> blocks_;    // one more at the end: the ring's anchor, its `after` the oldest
  std::vector<uint32_t> blank_;  // a stack of unnamed ones that nobody holds
  std::unordered_map<uint64_t, uint32_t> by_name_;
  uint32_t held_ = 0;
};

}  // namespace rackmark
