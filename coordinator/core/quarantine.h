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
// does.
bool MustLeave(const State& state, const NodeState& node);

// For the first of soft.standing_wanted that must leave and that the breaker lets go. One at a
// time, because the next one's share counts it. False: none.
bool EmitStanding(const State& state, std::vector<v1::Event>& events);

// What a verdict on the run does for its nodes: a passed check takes one out of quarantine to
// probation, and enough passed runs from there to good standing.
void EmitTested(const State& state, const RunState& run, v1::Verdict verdict,
                std::vector<v1::Event>& events);

// Why a node that must leave stays; empty if the breaker holds nothing back.
std::string BreakerNote(const State& state, const NodeState& node);

}  // namespace rackmark
