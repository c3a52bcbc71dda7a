// The fleet as one selector sees it: how many devices each node has to give, summed up by domain
// and rack, so that most questions are answered without looking at a node. Plain data with its
// sums kept true; a copy is what a "what if" works on. Whoever holds it owns it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/ids.h"

namespace rackmark::plan {

// What is taken for granted when devices are counted.
enum class Assume {
  kNow,    // nothing: usable and held by nobody
  kFreed,  // all leases are over; what is unusable stays so
  kIdeal,  // all known nodes are in touch and all devices are healthy, too
};

struct Pool {
  struct Domain {
    NodeId id;
    uint32_t ordinal = 0;          // in the layout
    uint32_t first = 0, last = 0;  // positions [first, last)
    uint32_t rack = 0;             // position of its rack
    bool lone = true;
    uint32_t free = 0;       // of its nodes, whether blocked or not
    uint32_t held = 0;       // devices of any kind in the whole domain that somebody holds,
    uint32_t exclusive = 0;  // ... and of these by a lease that wants the domain alone
    bool Blocked() const { return exclusive > 0; }
  };
  struct Rack {
    NodeId id;
    uint32_t first = 0, last = 0;  // domain positions
    uint32_t free = 0;             // of domains that are not blocked
  };

  std::vector<uint32_t> nodes;      // ordinals, ascending; "position" = index into this
  std::vector<NodeId> ids;          // by position
  std::vector<uint32_t> by_id;      // positions, by id
  std::vector<uint32_t> domain_of;  // by position
  std::vector<Domain> domains;
  std::vector<Rack> racks;
  std::vector<uint32_t> named;  // positions of the domains that are not lone

  std::vector<uint32_t> free;     // by position
  std::vector<uint32_t> by_free;  // how many nodes in domains not blocked have so many free
  uint32_t total = 0;             // free in domains not blocked

  std::vector<uint8_t> classes;  // by device class: whether it is selected
  Assume assume = Assume::kNow;
  bool quarantined = false;   // the selector wants nodes in quarantine, and only those
  std::vector<NodeId> avoid;  // ascending: they are in it, with nothing to give
  bool Avoids(NodeId node) const;

  std::optional<uint32_t> PositionOf(uint32_t ordinal) const;
  std::optional<uint32_t> DomainAt(uint32_t ordinal) const;  // of a domain

  void SetFree(uint32_t position, uint32_t count);
  void SetExclusive(uint32_t domain, uint32_t count);

 private:
  void Count(uint32_t position, uint32_t count, bool add);
};

}  // namespace rackmark::plan
