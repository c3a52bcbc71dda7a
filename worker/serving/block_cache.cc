#include "worker/serving/block_cache.h"

#include "common/status.h"

namespace rackmark {

BlockCache::BlockCache(uint32_t blocks) : blocks_(size_t{blocks} + 1) {
  blocks_[blocks].before = blocks_[blocks].after = blocks;
  blank_.reserve(blocks);
  for (uint32_t i = 0; i < blocks; ++i) blank_.push_back(blocks - 1 - i);  // the lowest on top
}

void BlockCache::Unlink(uint32_t block) {
  blocks_[blocks_[block].before].after = blocks_[block].after;
  blocks_[blocks_[block].after].before = blocks_[block].before;
}

uint32_t BlockCache::Fresh() {
  uint32_t block = 0;
  if (!blank_.empty()) {
    block = blank_.back();
    blank_.pop_back();
  } else {
    const auto anchor = static_cast<uint32_t>(blocks_.size() - 1);
    block = blocks_[anchor].after;
    RACKMARK_CHECK(block != anchor);  // admission reserves what it promises
    Unlink(block);
    by_name_.erase(*blocks_[block].name);
    blocks_[block].name.reset();
  }
  blocks_[block].holders = 1;
  ++held_;
  return block;
}

std::optional<bool> BlockCache::Held(uint64_t name) const {
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) return std::nullopt;
  return blocks_[it->second].holders > 0;
}

std::optional<uint32_t> BlockCache::Share(uint64_t name) {
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) return std::nullopt;
  if (blocks_[it->second].holders++ == 0) {
    Unlink(it->second);
    ++held_;
  }
  return it->second;
}

void BlockCache::Name(uint32_t block, uint64_t name) {
  RACKMARK_CHECK(blocks_[block].holders > 0);
  if (blocks_[block].name || !by_name_.emplace(name, block).second) return;
  blocks_[block].name = name;
}

void BlockCache::Release(uint32_t block) {
  RACKMARK_CHECK(blocks_[block].holders > 0);
  if (--blocks_[block].holders > 0) return;
  --held_;
  if (!blocks_[block].name) return blank_.push_back(block);
  const auto anchor = static_cast<uint32_t>(blocks_.size() - 1);
  blocks_[block].after = anchor;
  blocks_[block].before = blocks_[anchor].before;
  blocks_[blocks_[anchor].before].after = block;
  blocks_[anchor].before = block;
}

}  // namespace rackmark
