#include "kernels/tree_plan.h"

#include <bit>

#include "common/status.h"

namespace rackmark {
namespace {

class Planner {
 public:
  Planner(const HostGroups& groups, int world) : host_of_(static_cast<size_t>(world), -1) {
    plan.of_host.resize(groups.size());
    for (size_t host = 0; host < groups.size(); ++host) {
      for (const int rank : groups[host]) {
        RACKMARK_CHECK(rank >= 0 && rank < world && HostOf(rank) == -1);
        host_of_[static_cast<size_t>(rank)] = static_cast<int>(host);
      }
    }
    for (const int host : host_of_) RACKMARK_CHECK(host >= 0);
  }

  // Returns the partial whose row holds the sum over [first, last) when all additions are done.
  int Visit(int first, int last) {
    if (OneHost(first, last)) {
      const int index = static_cast<int>(plan.partials.size());
      plan.partials.push_back({first, last, HostOf(first)});
      plan.of_host[static_cast<size_t>(HostOf(first))].push_back(index);
      return index;
    }
    // The left half is the largest power of two below the count, as in TreeSum.
    const int left = static_cast<int>(std::bit_floor(static_cast<unsigned>(last - first - 1)));
    const int a = Visit(first, first + left);
    const int b = Visit(first + left, last);
    plan.additions.emplace_back(a, b);
    return a;
  }

  TreePlan plan;

 private:
  int HostOf(int rank) const { return host_of_[static_cast<size_t>(rank)]; }
  bool OneHost(int first, int last) const {
    for (int rank = first + 1; rank < last; ++rank) {
      if (HostOf(rank) != HostOf(first)) return false;
    }
    return true;
  }

  std::vector<int> host_of_;
};

}  // namespace

TreePlan PlanTree(const HostGroups& groups, int world) {
  RACKMARK_CHECK(world >= 1);
  Planner planner(groups, world);
  planner.Visit(0, world);
  return std::move(planner.plan);
}

}  // namespace rackmark
