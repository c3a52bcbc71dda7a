#include "coordinator/plan/pass.h"

#include <algorithm>
#include <map>

#include "common/status.h"
#include "coordinator/plan/preempt.h"
#include "coordinator/plan/reserve.h"
#include "coordinator/plan/what_if.h"

namespace rackmark::plan {
namespace {

// What is known of a shape in this pass. Within it devices only go, so what did not fit will not.
struct Known {
  bool no_room = false;      // not now,
  bool no_room_out = false;  // ... or not outside the head's seats
  bool refused = false;      // its place now is what the head was promised (Promise),
  bool refused_out = false;  // ... and so is the one outside the head's seats
};

// Pools as they are for gangs that may still run when the head's time comes.
class Outside {
 public:
  Outside(const Fleet& fleet, const Head& head, bool exclusive)
      : fleet_(fleet), exclusive_(exclusive) {
    supposed_.taken = head.place.seats;
    std::sort(supposed_.taken.begin(), supposed_.taken.end());
  }
  const Pool& PoolOf(const Selector& selector) {
    const auto at = pools_.find(selector);
    if (at != pools_.end()) return at->second;
    Pool pool = fleet_.PoolOf(selector, Assume::kNow);
    SupposeTaken(fleet_, supposed_.taken, exclusive_, pool);
    return pools_.emplace(selector, std::move(pool)).first->second;
  }
  const Supposed& supposed() const { return supposed_; }

 private:
  const Fleet& fleet_;
  const bool exclusive_;
  Supposed supposed_;
  std::map<Selector, Pool> pools_;
};

// The head only waits for leases that are yielding. Whoever it could make yield, too, must not take
// what it will have then: it would be told to go at once, be placed again, and so for ever.
class Promise {
 public:
  Promise(const Fleet& fleet, const Ticket& head) : fleet_(fleet), head_(head) {}
  // Of others nothing is to be feared.
  bool Concerns(const Ticket& ticket) const {
    return ticket.preemptible && ticket.priority < head_.priority;
  }
  bool KeptBeside(const Ticket& ticket, const GangPlace& place) {
    if (!pool_.has_value()) {
      pool_ = YieldedPool(fleet_, head_.request.selector);
      promised_ = FindSite(*pool_, head_.request).has_value();
    }
    if (!promised_) return true;
    Pool beside = *pool_;
    SupposeTaken(fleet_, place.seats, ticket.request.exclusive, beside);
    return FindSite(beside, head_.request).has_value();
  }

 private:
  const Fleet& fleet_;
  const Ticket& head_;
  std::optional<Pool> pool_;
  bool promised_ = false;
};

// Goes down the queue to the first that starts or has to wait for leases.
// What waits for nodes may be most of the queue: it is asked once for all looks until a node
// changes.
const WaitingQueue::Entry* FindFirst(const Fleet& fleet, const WaitingQueue& queue, Order& order,
                                     std::vector<Known>& known, Pass& pass) {
  while (const WaitingQueue::Entry* entry = order.Next()) {
    if (!queue.IsHopeless(entry->shape, fleet.facts_version())) {
      const GangRequest& request = entry->ticket.request;
      auto place = FindPlace(fleet, request);
      if (place.has_value()) {
        pass.start = Start{entry->ticket.id, *std::move(place), false};
        return entry;
      }
      known[entry->shape].no_room = true;
      if (CouldFit(fleet, request, Assume::kFreed)) return entry;
      queue.NoteHopeless(entry->shape, fleet.facts_version());
    }
    ++pass.passed_over;
    order.TakeBack();
  }
  return nullptr;
}

std::optional<Start> TryBehind(const Fleet& fleet, const Ticket& ticket, bool over_in_time,
                               Outside& outside, Known& known) {
  if (known.no_room || (!over_in_time && known.no_room_out)) return std::nullopt;
  const Selector& selector = ticket.request.selector;
  const Pool& now = fleet.PoolOf(selector, Assume::kNow);
  if (!FindSite(now, ticket.request).has_value()) {
    known.no_room = true;
    return std::nullopt;
  }
  const Pool& pool = over_in_time ? now : outside.PoolOf(selector);
  const std::optional<Site> site = FindSite(pool, ticket.request);
  if (!site.has_value()) {
    known.no_room_out = true;
    return std::nullopt;
  }
  const Supposed none;
  const Supposed& supposed = over_in_time ? none : outside.supposed();
  return Start{ticket.id, PlaceAt(fleet, pool, ticket.request, *site, supposed), true};
}

// Where it may start behind the head, if anywhere. A place that would break the head's promise is
// the same for all of its shape, and asked once.
std::optional<Start> Backfill(const Fleet& fleet, const Ticket& ticket, bool over_in_time,
                              Outside& outside, Promise* promise, Known& known, Pass& pass) {
  const bool concerned = promise != nullptr && promise->Concerns(ticket);
  for (const bool in_time : {true, false}) {
    if (in_time && !over_in_time) continue;
    bool& refused = in_time ? known.refused : known.refused_out;
    if (concerned && refused) continue;
    auto start = TryBehind(fleet, ticket, in_time, outside, known);
    if (!start.has_value() || !concerned) return start;
    ++pass.weighed;
    if (promise->KeptBeside(ticket, start->place)) return start;
    refused = true;  // elsewhere, if there is room
  }
  return std::nullopt;
}

}  // namespace

Pass RunPass(const Fleet& fleet, const WaitingQueue& queue, const Ledger& ledger, Nanos now,
             const PassOptions& options) {
  Pass pass;
  Order order(queue, ledger, options.share_now.value_or(now));
  std::vector<Known> known(queue.shapes());
  const WaitingQueue::Entry* first = FindFirst(fleet, queue, order, known, pass);
  if (first == nullptr || pass.start.has_value()) return pass;

  const GangRequest& request = first->ticket.request;
  auto reservation = Reserve(fleet, request, now);
  RACKMARK_CHECK(reservation.has_value());
  pass.head = Head{first->ticket.id, reservation->at, std::move(reservation->place)};
  const bool soon = pass.head->at.has_value() && *pass.head->at <= now + options.grace;
  if (options.preempt && !soon) {
    pass.victims = ChooseVictims(fleet, request, first->ticket.priority);
    if (!pass.victims.empty()) return pass;
  }
  Outside outside(fleet, *pass.head, request.exclusive);
  Promise promise(fleet, first->ticket);
  while (const WaitingQueue::Entry* entry = order.Next()) {
    if (pass.candidates == options.candidates_max) {
      pass.candidates_cut = true;
      break;
    }
    ++pass.candidates;
    const Ticket& ticket = entry->ticket;
    const bool over_in_time = pass.head->at.has_value() && ticket.budget.has_value() &&
                              *ticket.budget <= *pass.head->at - now;
    Known& shape = known[entry->shape];
    pass.start = Backfill(fleet, ticket, over_in_time, outside,
                          options.preempt ? &promise : nullptr, shape, pass);
    if (pass.start.has_value()) break;
  }
  return pass;
}

}  // namespace rackmark::plan
