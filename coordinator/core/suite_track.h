// The soft side of suites and schedules, for turn.cc: what is to be looked at, and since when. All
// of it is rebuilt when a leadership begins.
#pragma once

#include "coordinator/core/command.h"
#include "coordinator/core/state.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

// A leadership begins: all waits for nodes begin anew, all schedules are read and asked.
void BeginSuites(State& state, Nanos now);
// An event that has just been applied.
void TrackSuites(State& state, const v1::Event& event, Nanos now);
// The turn is at rest.
void RestSuites(State& state, Now now);

// A node's Report says something new of its devices, and comes next.
void NoteDevices(State& state, NodeId node, const v1::Report& report);

}  // namespace rackmark
