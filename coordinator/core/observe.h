// Questions about what Reports say. Pure reads of State; each answers "not yet" while the Report
// that could say so has not come in this epoch, or reflects an older desired state.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/state.h"

namespace rackmark {

// The last Report of this epoch; null if there is none.
const v1::Report* ReportOf(const State& state, NodeId node);

// What its node last said about a rank of the lease (this generation); null if nothing.
const v1::RankReport* RankOf(const State& state, const LeaseState& lease,
                             const v1::RankPlace& place);

// The node has read that it should hold the lease, and its Report does not mention the rank.
bool IsMissing(const State& state, const LeaseState& lease, const v1::RankPlace& place);

bool HasCard(const State& state, const LeaseState& lease, const v1::RankPlace& place);
// Has met the others, and has not failed.
bool IsReady(const State& state, const LeaseState& lease, const v1::RankPlace& place);
// What its ranks say of how they travel: each different sentence once, a bounded number of them.
std::vector<std::string> TransportsOf(const State& state, const LeaseState& lease);
// Is at `phase` or beyond in this attempt of the run, and has not failed.
bool HasReached(const State& state, const RunState& run, const v1::RankPlace& place,
                v1::RankPhase phase);

// It failed, but not by its own doing: a peer's end or absence ended its collective.
bool IsBystander(const v1::RankReport& rank);

// Whether every rank of the lease answers yes; the ranks that do not.
using RankQuestion = std::function<bool(const v1::RankPlace&)>;
std::vector<const v1::RankPlace*> Laggards(const LeaseState& lease, const RankQuestion& question);

// Between two Reports of one node a rank of the lease got on with the run: it is in another phase,
// or its own count has changed.
bool GotOn(const v1::Report& before, const v1::Report& report, LeaseId lease, RunId run);

// Two Reports of one node say the same of its devices,
bool SameDevices(const v1::Report& a, const v1::Report& b);
// ... and of all that decisions are made by: what else differs is for people to read.
bool SameWork(const v1::Report& a, const v1::Report& b);

// Nodes of a placement, ascending.
std::set<NodeId> NodesOf(const v1::Placement& placement);

// Streams of one run and attempt, over all nodes of its lease.
struct Drained {
  struct Refused {
    std::string node, why;
  };
  bool all = false;  // nothing more will come: each stream is stored to its end, or was refused
  uint64_t dropped_results = 0;
  std::string dropped_node;                   // where; the first one
  std::optional<Refused> refused;             // the first one
  std::vector<const v1::RankPlace*> waiting;  // first rank of each node that is not there yet
};
Drained DrainOf(const State& state, const LeaseState& lease, const RunState& run);

// The node's devices have left a RELEASING lease: it read that the lease is over and reports its
// devices without it, or it has been silent for longer than its worker lets ranks live.
bool HasFreed(const State& state, const LeaseState& lease, NodeId node, Nanos now);
// The node has had release_after to free its devices, and those that it has not are unhealthy, as
// with a process that nothing can kill. The lease does not wait for them; they stay held by the
// node's own word, for as long as it says so.
bool HasLostDevices(const State& state, const LeaseState& lease, NodeId node, Nanos now);

}  // namespace rackmark
