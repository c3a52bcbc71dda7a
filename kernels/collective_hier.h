// Collectives of a gang that spans hosts: shared memory inside each, one rank of each host (its
// lowest, the leader) speaks to the other leaders over Gloo. A host may have one rank, so this is
// also the collective of ranks that share no memory at all. Same promises as any Collective; sums
// are added in the gang's one tree for any placement, fastest where whole subtrees share a host.
#pragma once

#include <memory>

#include "kernels/collective.h"
#include "kernels/collective_gloo.h"
#include "kernels/tree_plan.h"

namespace rackmark {

struct HierOptions {
  HostGroups groups;               // two hosts or more
  std::shared_ptr<GlooMesh> mesh;  // connected, between all ranks of the gang, by their numbers
  // Between the ranks of this host, in their order; null where there is one.
  std::unique_ptr<Collective> local;
};
std::unique_ptr<Collective> MakeHierCollective(HierOptions options);

}  // namespace rackmark
