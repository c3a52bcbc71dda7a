// What an event touches: the one place that knows it, for the planner, for the next wave of Settle
// and for what is due.
#include "coordinator/core/observe.h"
#include "coordinator/core/planner.h"
#include "coordinator/core/state.h"

namespace rackmark {
namespace {

using v1::Event;

// Everything that has a lease on it.
void MarkNode(State& state, uint64_t node_id, std::set<JobId>& jobs) {
  const NodeId node{node_id};
  state.soft.planner.marked_nodes.insert(node);
  for (const LeaseId id : state.hard.nodes.at(node).leases) {
    jobs.insert(state.hard.leases.at(id).job);
  }
}

void MarkLease(State& state, uint64_t lease_id, std::set<JobId>& jobs) {
  Planner& planner = state.soft.planner;
  const LeaseId id{lease_id};
  planner.marked_leases.insert(id);
  const auto lease = state.hard.leases.find(id);
  if (lease != state.hard.leases.end()) {
    jobs.insert(lease->second.job);
    // It may have been freed before a worker was ever told of it.
    if (lease->second.phase == v1::LEASE_PHASE_RELEASING) {
      planner.marked_nodes.merge(NodesOf(lease->second.placement));
    }
    return;
  }
  const auto told = planner.leases.find(id);
  if (told != planner.leases.end()) jobs.insert(told->second.job);
}

void MarkRun(const State& state, uint64_t run_id, std::set<JobId>& jobs) {
  jobs.insert(state.hard.runs.at(RunId{run_id}).job);
}

}  // namespace

void MarkEvent(State& state, const Event& event, std::set<JobId>& jobs) {
  switch (event.change_case()) {
    case Event::kNodeJoined: MarkNode(state, event.node_joined().node_id(), jobs); break;
    case Event::kNodeChanged: MarkNode(state, event.node_changed().node_id(), jobs); break;
    case Event::kNodeCordoned: MarkNode(state, event.node_cordoned().node_id(), jobs); break;
    case Event::kNodeStandingChanged:
      MarkNode(state, event.node_standing_changed().node_id(), jobs);
      break;
    case Event::kJobSubmitted: jobs.insert(JobId{event.job_submitted().job_id()}); break;
    case Event::kJobCancelRequested:
      jobs.insert(JobId{event.job_cancel_requested().job_id()});
      break;
    case Event::kJobEnded: jobs.insert(JobId{event.job_ended().job_id()}); break;
    case Event::kLeasePlaced: MarkLease(state, event.lease_placed().lease_id(), jobs); break;
    case Event::kLeaseGo: MarkLease(state, event.lease_go().lease_id(), jobs); break;
    case Event::kLeaseActive: MarkLease(state, event.lease_active().lease_id(), jobs); break;
    case Event::kLeaseYielding: MarkLease(state, event.lease_yielding().lease_id(), jobs); break;
    case Event::kLeaseReleasing: MarkLease(state, event.lease_releasing().lease_id(), jobs); break;
    case Event::kLeaseEnded: MarkLease(state, event.lease_ended().lease_id(), jobs); break;
    case Event::kRunPreparing: MarkRun(state, event.run_preparing().run_id(), jobs); break;
    case Event::kRunMeasuring: MarkRun(state, event.run_measuring().run_id(), jobs); break;
    case Event::kRunDraining: MarkRun(state, event.run_draining().run_id(), jobs); break;
    case Event::kRunRequeued: MarkRun(state, event.run_requeued().run_id(), jobs); break;
    case Event::kRunJudging: MarkRun(state, event.run_judging().run_id(), jobs); break;
    case Event::kRunJudged: MarkRun(state, event.run_judged().run_id(), jobs); break;
    default: break;
  }
}

}  // namespace rackmark
