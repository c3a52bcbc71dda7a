// When something of each object is due: an ordered index, so that "the next" and "those that are
// due" cost what they find and not a look at all objects. Plain data; whoever holds it owns it.
#pragma once

#include <optional>
#include <set>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "common/time.h"

namespace rackmark {

template <typename Key>
class DueIndex {
 public:
  // Missing = nothing is due any more.
  void Set(Key key, std::optional<Nanos> at) {
    const auto known = at_.find(key);
    if (known == at_.end()) {
      if (!at.has_value()) return;
      at_.emplace(key, *at);
      order_.emplace(*at, key);
      return;
    }
    if (known->second == at) return;
    order_.erase({known->second, key});
    if (!at.has_value()) {
      at_.erase(known);
      return;
    }
    known->second = *at;
    order_.emplace_hint(order_.end(), *at, key);  // what moves mostly becomes the last
  }

  // By key.
  std::set<Key> DueBy(Nanos now) const {
    std::set<Key> due;
    for (auto it = order_.begin(); it != order_.end() && it->first <= now; ++it) {
      due.insert(it->second);
    }
    return due;
  }

  // The first that is later than `now`.
  std::optional<Nanos> NextAfter(Nanos now) const {
    const auto next = order_.lower_bound({now + 1, Key{}});
    if (next == order_.end()) return std::nullopt;
    return next->first;
  }

 private:
  // Of thousands one is moved at each Report: a binary tree's way down is a cache miss a step.
  absl::btree_map<Key, Nanos> at_;
  absl::btree_set<std::pair<Nanos, Key>> order_;
};

}  // namespace rackmark
