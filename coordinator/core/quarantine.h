// What a node's offences and passed tests come to: quarantine, probation, good standing. Pure reads
// of State, by the log's own times; called by Settle (offences), Decide (verdicts) and views.
#pragma once

#include <string>
#include <vector>

#include "coordinator/core/state.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

// Enough offences within the window that ends where it was last at work, or any on probation. An
// offence that the same job met on another node too is the job's and counts against neither, and of
// one job one of each kind counts; what only a machine can do (a bad device, a lost node) always
// does, a loss once for all that was on the node.
bool MustLeave(const State& state, const NodeState& node);

// For the first of soft.standing_wanted that must leave and that the breaker lets go; never for the
// last one that is in service. One at a time, because the next one's share counts it. False: none.
bool EmitStanding(const State& state, std::vector<v1::Event>& events);

// What a verdict on the run does for its nodes: a check that has passed as a whole, on all devices
// that are blamed, takes one out of quarantine to probation, and enough passed runs from there to
// good standing.
void EmitTested(const State& state, const RunState& run, v1::Verdict verdict,
                std::vector<v1::Event>& events);

// How many of its last offences a worker takes back that comes anew on the same boot: the machine
// ran on while its worker was away, so the silence was the worker's, and no offence of the node.
size_t OffencesTakenBack(const NodeState& node, const v1::NodeInfo& now);
// Its standing, if those alone had taken it.
void EmitTakenBack(const State& state, const NodeState& node, const v1::NodeInfo& now,
                   std::vector<v1::Event>& events);

// Why a node that must leave stays; empty if the breaker holds nothing back.
std::string BreakerNote(const State& state, const NodeState& node);

}  // namespace rackmark
