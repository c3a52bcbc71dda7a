// What each worker should do. DesiredFor is the content, a pure function of State; versions are
// kept by Turn alone: it compares contents (serialised) for every node that a turn may have
// touched, and counts the node's version up when they differ. The shell sends DesiredOf, whole,
// after the commit, but to a worker that has just said that it has it.
#pragma once

#include <set>

#include "coordinator/core/state.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {

// Content without version. While a lease is in RENDEZVOUS `go` stands only together with all cards:
// after a restart it is false until Reports have brought them again. In an ACTIVE lease every rank
// is connected: `go` stands and the cards are gone.
v1::DesiredState DesiredFor(const State& state, NodeId node);

// The same with its version, as of the last turn: goes into SyncReply. Empty content with
// version 0 if the node is unknown.
const v1::DesiredState& DesiredOf(const State& state, NodeId node);
// Its last Report reflects that version of this epoch: an answer need not repeat it.
bool KnowsDesired(const State& state, NodeId node);

// Brings versions up to date for these nodes; returns those whose content changed. Called by Turn.
std::set<NodeId> RefreshDesired(State& state, const std::set<NodeId>& nodes);

}  // namespace rackmark
