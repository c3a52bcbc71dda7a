// The fleet, the queue and what owners have had, as room plan takes them: derived from State, told
// of single changes by Turn, made anew when a leadership begins. So a decision costs what has
// changed. Part of SoftState; the loop thread alone writes it.
//
// What it says is a function of the rest of State (planner_test compares with one made anew): a
// change is marked here when it happens, and looked at by RefreshPlanner.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/time.h"
#include "coordinator/plan/fleet.h"
#include "coordinator/plan/pass.h"
#include "coordinator/plan/share.h"
#include "coordinator/plan/waiting.h"
#include "rackmark/v1/event.pb.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

struct State;
struct JobState;
struct LeaseState;
struct NodeState;

constexpr Nanos kShareHalfLife = 24 * 3600 * kSecond;  // in the log's meaning: not configuration

struct Planner {
  struct Seat {
    uint32_t device = 0;
    LeaseId lease;
    auto operator<=>(const Seat&) const = default;
  };
  struct Told {  // of a lease
    JobId job;
    std::string owner;
    uint64_t cost = 0;  // of its owner's running share
    std::set<NodeId> nodes;
  };
  plan::Fleet fleet;
  plan::WaitingQueue queue;
  plan::Ledger ledger{kShareHalfLife};
  std::map<NodeId, std::set<Seat>> seats;  // of leases that have not ended, as the log says
  std::map<LeaseId, Told> leases;
  std::map<std::string, uint64_t> running;  // cost of an owner's leases
  std::set<JobId> choosy;                   // in the queue, and have nodes to avoid
  struct Span {
    Nanos from = 0, until = 0;  // by Now::wall
  };
  std::map<JobId, Span> spans;     // for how long maintenance lets these wait, or be placed
  std::optional<plan::Pass> last;  // the last look at the queue; missing if nobody waits
  Nanos looks_since = 0;           // of those that are counted:
  uint32_t vain_looks = 0;         // nothing came of them (queue.h)

  std::set<NodeId> marked_nodes;
  std::set<LeaseId> marked_leases;
  std::set<JobId> marked_jobs;
};

// All of it, from the rest of State.
void RebuildPlanner(State& state);

// The soft side of an event that has just been applied: jobs that it touches are added to `jobs`.
void MarkEvent(State& state, const v1::Event& event, std::set<JobId>& jobs);
void MarkJob(State& state, JobId job);

// Takes in what was marked; true if a gang may have a place now that had none before.
bool RefreshPlanner(State& state);

// One node as plan sees it: each device held by the lease that the log names, until the node has
// freed it, or else by whatever the node itself reports.
plan::NodeFacts PlanNode(const State& state, const NodeState& node);
// Why a device that says it is healthy is not used all the same; empty if it is.
std::string WhyUnused(const NodeState& node, uint32_t device);

plan::GangRequest RequestOf(const v1::Gang& gang);
// For how long it would hold a gang at most: its limits for all runs that wait, and its budget.
Nanos EstimateOf(const State& state, const JobState& job);

}  // namespace rackmark
