#include "coordinator/core/tables.h"

#include <utility>

namespace rackmark {
namespace {

using v1::Event;

constexpr Step<v1::RunPhase> kRunTable[] = {
    {v1::RUN_PHASE_QUEUED, Event::kRunPreparing, v1::RUN_PHASE_PREPARING},
    {v1::RUN_PHASE_PREPARING, Event::kRunMeasuring, v1::RUN_PHASE_MEASURING},
    {v1::RUN_PHASE_MEASURING, Event::kRunDraining, v1::RUN_PHASE_DRAINING},
    {v1::RUN_PHASE_PREPARING, Event::kRunRequeued, v1::RUN_PHASE_QUEUED},
    {v1::RUN_PHASE_MEASURING, Event::kRunRequeued, v1::RUN_PHASE_QUEUED},
    {v1::RUN_PHASE_DRAINING, Event::kRunRequeued, v1::RUN_PHASE_QUEUED},
    // Cancelled, or the job's leases cannot be set up: judged without having started.
    {v1::RUN_PHASE_QUEUED, Event::kRunJudging, v1::RUN_PHASE_JUDGING},
    {v1::RUN_PHASE_PREPARING, Event::kRunJudging, v1::RUN_PHASE_JUDGING},
    {v1::RUN_PHASE_MEASURING, Event::kRunJudging, v1::RUN_PHASE_JUDGING},
    {v1::RUN_PHASE_DRAINING, Event::kRunJudging, v1::RUN_PHASE_JUDGING},
    {v1::RUN_PHASE_JUDGING, Event::kRunJudged, v1::RUN_PHASE_ENDED},
};

constexpr Step<v1::LeasePhase> kLeaseTable[] = {
    {v1::LEASE_PHASE_UNKNOWN, Event::kLeasePlaced, v1::LEASE_PHASE_STARTING},
    {v1::LEASE_PHASE_STARTING, Event::kLeaseGo, v1::LEASE_PHASE_RENDEZVOUS},
    {v1::LEASE_PHASE_RENDEZVOUS, Event::kLeaseActive, v1::LEASE_PHASE_ACTIVE},
    {v1::LEASE_PHASE_STARTING, Event::kLeaseReleasing, v1::LEASE_PHASE_RELEASING},
    {v1::LEASE_PHASE_RENDEZVOUS, Event::kLeaseReleasing, v1::LEASE_PHASE_RELEASING},
    {v1::LEASE_PHASE_ACTIVE, Event::kLeaseReleasing, v1::LEASE_PHASE_RELEASING},
    {v1::LEASE_PHASE_RELEASING, Event::kLeaseEnded, v1::LEASE_PHASE_ENDED},
};

constexpr std::pair<v1::NodePhase, v1::NodePhase> kNodeTable[] = {
    {v1::NODE_PHASE_UP, v1::NODE_PHASE_SUSPECT},
    {v1::NODE_PHASE_SUSPECT, v1::NODE_PHASE_UP},
    {v1::NODE_PHASE_SUSPECT, v1::NODE_PHASE_LOST},
    {v1::NODE_PHASE_LOST, v1::NODE_PHASE_UP},
};

template <typename Phase, size_t n>
std::optional<Phase> Find(const Step<Phase> (&table)[n], Phase from, Change change) {
  for (const Step<Phase>& step : table) {
    if (step.from == from && step.change == change) return step.to;
  }
  return std::nullopt;
}

}  // namespace

std::optional<v1::RunPhase> NextPhase(v1::RunPhase from, Change change) {
  return Find(kRunTable, from, change);
}

std::optional<v1::LeasePhase> NextPhase(v1::LeasePhase from, Change change) {
  return Find(kLeaseTable, from, change);
}

bool MayGo(v1::NodePhase from, v1::NodePhase to) {
  for (const auto& [table_from, table_to] : kNodeTable) {
    if (table_from == from && table_to == to) return true;
  }
  return false;
}

}  // namespace rackmark
