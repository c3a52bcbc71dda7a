// Leases that make room: told to for a job of higher priority, because they were held long enough,
// or because a person wants their node. From then on no run begins on them; between runs they are
// released, and when the grace is over they fail as preempted, which costs the run no try. Pure.
#pragma once

#include <optional>
#include <vector>

#include "coordinator/core/state.h"
#include "coordinator/plan/pass.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

// For a pass that has victims: LeaseYielding for each.
void EmitVictims(const State& state, const plan::Pass& pass, std::vector<v1::Event>& events);

// LeaseYielding, if a node of the lease is being drained and the lease has no grace that ends as
// soon as is wanted.
bool EmitDrain(const State& state, const LeaseState& lease, std::vector<v1::Event>& events);

// What a yielding lease does next: goes as soon as no run is measured or drained on it, at the
// latest when its grace is over. False: its run goes on, as it does when by then nobody waits any
// more who comes before its job.
bool StepYielding(const State& state, const LeaseState& lease, Nanos now,
                  std::vector<v1::Event>& events);

// When its grace is over; missing if it does not yield, or only between runs.
std::optional<Nanos> GraceEnd(const State& state, const LeaseState& lease);

// Soft: yielding leases that were spared so, and for which somebody waits again, are for Settle.
void TouchSpared(State& state);

// When it has been held long enough; missing if it may hold on, or is on its way already.
std::optional<Nanos> LeaseMaxEnd(const State& state, const LeaseState& lease);

// "makes room for job c1-j3 (PREEMPTED)", for people.
std::string YieldText(const State& state, const LeaseState& lease);

}  // namespace rackmark
