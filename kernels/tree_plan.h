// How the sum of a gang's binary tree is spread over hosts: which partial sums each host can make
// alone, and in which order those are added. Pure; the same on every rank.
#pragma once

#include <utility>
#include <vector>

namespace rackmark {

// Ranks by host: ascending within a host, hosts in the order of their first rank.
using HostGroups = std::vector<std::vector<int>>;

struct TreePlan {
  // The sum over ranks [first, last), a whole subtree whose leaves are all of one host.
  struct Partial {
    int first = 0;
    int last = 0;
    int host = 0;
  };
  std::vector<Partial> partials;  // by first rank; they cover the gang
  // Of each host: its partials, ascending.
  std::vector<std::vector<int>> of_host;
  // Done in order, row[first] += row[second] leaves the gang's sum in row 0.
  std::vector<std::pair<int, int>> additions;
};

// Every rank of 0 .. world-1 is in exactly one group.
TreePlan PlanTree(const HostGroups& groups, int world);

}  // namespace rackmark
