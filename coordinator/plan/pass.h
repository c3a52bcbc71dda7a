// One look at the queue: which gang starts next, and where; or for whom devices are kept; or whose
// leases end. Pure; time is an argument. The caller carries out one answer, tells the fleet, the
// queue and the ledger of it, and asks again until there is nothing to do.
//
// EASY backfill: the first gang that waits for leases to end (the head) has a reservation: the
// earliest time at which it fits if leases end by their budgets, and the seats it would have then.
// Another starts before it only if it fits now and either is over by that time or takes none of
// those seats. Nobody behind the head has a reservation. Gangs that would not fit even with all
// leases over are passed over: they wait for nodes, not for leases.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/plan/choose.h"
#include "coordinator/plan/waiting.h"

namespace rackmark::plan {

struct PassOptions {
  uint32_t candidates_max = 500;  // looked at behind the head
  Nanos grace = 30 * kSecond;     // that a preempted lease gets: no preemption if the head's time
                                  // comes as soon as that anyway
  bool preempt = true;
  std::optional<Nanos> share_now;  // `now` by the ledger's clock; missing = they are the same
};

struct Start {
  TicketId ticket;
  GangPlace place;
  bool backfilled = false;
};

struct Head {
  TicketId ticket;
  std::optional<Nanos> at;  // missing: it needs leases whose end nobody knows
  GangPlace place;          // what it will have then, seat by seat
};

struct Pass {
  std::optional<Start> start;
  std::optional<Head> head;      // whom the queue waits for; missing if the first to fit starts
  std::vector<LeaseId> victims;  // to be told to end so that the head fits; then nothing starts
  uint32_t passed_over = 0;      // tickets before the head that wait for nodes
  uint32_t candidates = 0;       // tickets behind the head that were looked at
  bool candidates_cut = false;   // there were more than candidates_max
  uint32_t weighed = 0;          // places that were weighed against what the head waits for
};

Pass RunPass(const Fleet& fleet, const WaitingQueue& queue, const Ledger& ledger, Nanos now,
             const PassOptions& options);

}  // namespace rackmark::plan
