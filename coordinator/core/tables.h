// The state machines as tables: which change may follow in which phase, and where it leads.
// CheckEvent and Apply read nothing else about transitions.
#pragma once

#include <optional>

#include "rackmark/v1/event.pb.h"
#include "rackmark/v1/run.pb.h"

namespace rackmark {

using Change = v1::Event::ChangeCase;

template <typename Phase>
struct Step {
  Phase from;
  Change change;
  Phase to;
};

// The phase after the change; nullopt if the table does not allow it. A lease that does not exist
// yet is UNKNOWN.
std::optional<v1::RunPhase> NextPhase(v1::RunPhase from, Change change);
std::optional<v1::LeasePhase> NextPhase(v1::LeasePhase from, Change change);
// Nodes say in the change where they go. A node that joins is UP whatever it was.
bool MayGo(v1::NodePhase from, v1::NodePhase to);

}  // namespace rackmark
