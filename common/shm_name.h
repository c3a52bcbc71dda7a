// What Rackmark's shared-memory segments are called. A rank makes them; its daemon removes what a
// killed rank left, and must never remove anything else.
#pragma once

#include <string_view>

namespace rackmark {

// Followed by lower-case hex digits.
constexpr std::string_view kSegmentPrefix = "/rackmark-";

inline bool IsSegmentName(std::string_view name) {
  if (name.size() <= kSegmentPrefix.size() || name.size() > 64) return false;
  if (name.substr(0, kSegmentPrefix.size()) != kSegmentPrefix) return false;
  return name.find_first_not_of("0123456789abcdef", kSegmentPrefix.size()) ==
         std::string_view::npos;
}

}  // namespace rackmark
