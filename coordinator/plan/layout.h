// The order of the fleet: nodes sorted so that each NVLink domain, and each rack, is one range.
// Pure; made anew when a node comes, goes or moves.
//
// A node that names no domain is a domain of its own ("lone"): a node is the least NVLink island
// there is. A domain lies in one rack: the first by name of those that its nodes give. One that no
// node gives a rack is a rack of its own: an unknown rack is never the same as another.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/ids.h"

namespace rackmark::plan {

struct Address {
  NodeId id;
  std::string_view domain;  // empty = none
  std::string_view rack;    // empty = unknown
};

struct Layout {
  struct Domain {
    NodeId id;                     // its lowest node: islands are told apart, and tie, by this
    uint32_t first = 0, last = 0;  // ordinals [first, last)
    uint32_t rack = 0;
    bool lone = true;
  };
  struct Rack {
    NodeId id;
    uint32_t first = 0, last = 0;  // domains [first, last)
  };
  std::vector<uint32_t> order;    // ordinal -> index in what was given
  std::vector<uint32_t> ordinal;  // and back
  std::vector<uint32_t> domain;   // by ordinal
  std::vector<Domain> domains;
  std::vector<Rack> racks;
};

Layout MakeLayout(const std::vector<Address>& nodes);

}  // namespace rackmark::plan
