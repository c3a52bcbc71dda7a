#include "coordinator/plan/spread.h"

#include <algorithm>

#include "common/status.h"

namespace rackmark::plan {
namespace {

// By what is free, then by id. Counted and not compared, because there may be 10,000 of them.
struct Sorted {
  std::vector<uint32_t> positions;
  std::vector<uint32_t> group;  // [f, f + 1): where those with f free are

  Sorted(const Pool& pool, const std::vector<uint32_t>& given) {
    uint32_t most = 0;
    for (const uint32_t position : given) most = std::max(most, pool.free[position]);
    group.assign(most + 2, 0);
    for (const uint32_t position : given) ++group[pool.free[position] + 1];
    for (size_t f = 1; f < group.size(); ++f) group[f] += group[f - 1];
    positions.resize(given.size());
    std::vector<uint32_t> next = group;
    for (const uint32_t position : given) positions[next[pool.free[position]]++] = position;
  }
  uint32_t most() const { return static_cast<uint32_t>(group.size() - 2); }
};

std::vector<Part> Even(const Sorted& sorted, uint32_t devices, uint32_t per_node) {
  std::vector<Part> parts;
  RACKMARK_CHECK(per_node <= sorted.most());
  for (size_t i = sorted.group[per_node]; parts.size() < devices / per_node; ++i) {
    RACKMARK_CHECK(i < sorted.positions.size());
    parts.push_back({sorted.positions[i], per_node});
  }
  return parts;
}

std::vector<Part> Fewest(const Sorted& sorted, uint32_t devices) {
  std::vector<Part> parts;
  uint32_t rest = devices;
  uint32_t most = sorted.most();
  uint32_t taken = 0;  // of the group `most`
  while (rest > 0) {
    while (sorted.group[most] + taken == sorted.group[most + 1]) {
      RACKMARK_CHECK(most > 0);
      --most;
      taken = 0;
    }
    uint32_t f = std::min(rest, most);
    if (rest <= most) {
      while (f < most && sorted.group[f] == sorted.group[f + 1]) ++f;
    }
    const uint32_t at = sorted.group[f] + (f == most ? taken : 0);
    parts.push_back({sorted.positions[at], std::min(f, rest)});
    rest -= parts.back().count;
    ++taken;
  }
  return parts;
}

}  // namespace

std::vector<Part> Spread(const Pool& pool, const std::vector<uint32_t>& positions, uint32_t devices,
                         std::optional<uint32_t> per_node) {
  const Sorted sorted(pool, positions);
  return per_node.has_value() ? Even(sorted, devices, *per_node) : Fewest(sorted, devices);
}

}  // namespace rackmark::plan
