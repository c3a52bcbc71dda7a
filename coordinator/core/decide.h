// The state machine. Pure: same State, same Command, same Now: same events, same reply.
//
// The shell calls only Turn (live) and Replay (at start). A loop turn: Turn() for each of up to 256
// commands; append all events in one transaction; only when that is committed, release every reply,
// and push DesiredOf(node) to every node in `push`. If the append fails, State is ahead of the
// disk: the process fences itself and exits (law 1).
#pragma once

#include <set>
#include <vector>

#include "common/status.h"
#include "coordinator/core/command.h"
#include "coordinator/core/state.h"
#include "rackmark/v1/event.pb.h"
#include "rackmark/v1/snapshot.pb.h"

namespace rackmark {

struct Decision {
  std::vector<v1::Event> events;  // complete, with seq; nothing has happened yet
  Reply reply;
};

// What one command causes by itself, before what follows from it. An error changes nothing.
absl::StatusOr<Decision> Decide(const State& state, const Command& command, Now now);

// A Report that was overtaken: of an older stream, or out of order on its own. Heard, not believed.
bool IsStale(const State& state, NodeId node, const NodeReported& command);

// The next wave of what follows from State alone: runs advance, leases fail, make room or end.
// Looks at `jobs` only (null = all open jobs). Empty = State is at rest, but for gangs that may
// have a place (queue.h), which Turn asks for then.
std::vector<v1::Event> Settle(const State& state, const std::set<JobId>* jobs, Now now);

// OK if Apply may take the event: next seq, known format, a transition that the tables allow. The
// log's reader asks this before Apply; an error there is a corrupt or newer log.
absl::Status CheckEvent(const HardState& hard, const v1::Event& event);

// Total. REQUIRES: CheckEvent says OK (our own events always do; checked, a bug ends the process).
void Apply(HardState& hard, const v1::Event& event);

// CheckEvent, then Apply: one event of the log at start. Touches no soft state. A job that it ends
// is put into `ended`, if that is wanted.
absl::Status Replay(State& state, const v1::Event& event,
                    std::vector<v1::EndedJob>* ended = nullptr);

struct TurnResult {
  std::vector<v1::Event> events;  // already applied to State, not yet durable
  Reply reply;
  std::vector<v1::EndedJob> ended;  // jobs that left State: to be stored with the events
  std::set<NodeId> push;            // nodes whose desired state changed: push after the commit
  std::set<RunId> judge;            // runs in JUDGING that are now the reporter's work
};

// Absorbs, decides, applies, and settles until nothing more follows. On an error nothing durable
// has changed. REQUIRES: now.monotonic does not go back.
absl::StatusOr<TurnResult> Turn(State& state, Command command, Now now);

// All runs in JUDGING that are not held: what the reporter must do after a start.
std::vector<RunId> RunsToJudge(const State& state);

}  // namespace rackmark
