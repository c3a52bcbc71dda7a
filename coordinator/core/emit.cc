#include "coordinator/core/emit.h"

#include "coordinator/core/observe.h"

namespace rackmark {

v1::Principal CorePrincipal() {
  v1::Principal core;
  core.set_name("coordinator");
  core.set_role(v1::ROLE_ADMIN);
  core.set_how("internal");
  return core;
}

void Stamp(const HardState& hard, const v1::Principal& by, Now now,
           std::vector<v1::Event>& events) {
  uint64_t seq = hard.last_seq;
  for (v1::Event& event : events) {
    event.set_format(1);
    event.set_seq(++seq);
    event.set_unix_ns(now.wall);
    if (!event.has_by()) *event.mutable_by() = by;
  }
}

void EmitJudging(const State& state, const RunState& run, const std::optional<v1::Failure>& failure,
                 std::vector<v1::Event>& events) {
  v1::RunJudging* change = events.emplace_back().mutable_run_judging();
  change->set_run_id(run.id.value);
  if (failure.has_value()) *change->mutable_failure() = *failure;
  for (const NodeId node : NodesOf(run.placement)) {
    const auto soft = state.soft.nodes.find(node);
    if (soft == state.soft.nodes.end() || !soft->second.clock.has_value()) continue;
    v1::NodeClock* clock = change->add_clocks();
    clock->set_node_id(node.value);
    *clock->mutable_clock() = *soft->second.clock;
  }
}

}  // namespace rackmark
