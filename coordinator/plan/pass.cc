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
  bool hopeless = false;     // not even with all leases over
  bool no_room = false;      // not now,
  bool no_room_out = false;  // ... or not outside the head's seats
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
  bool KeptBeside(const Ticket& ticket, const GangPlace& place) {
    if (!ticket.preemptible || ticket.priority >= head_.priority) return true;
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
const WaitingQueue::Entry* FindFirst(const Fleet& fleet, Order& order, std::vector<Known>& known,
                                     Pass& pass) {
  while (const WaitingQueue::Entry* entry = order.Next()) {
    if (!known[entry->shape].hopeless) {
      const GangRequest& request = entry->ticket.request;
      auto place = FindPlace(fleet, request);
      if (place.has_value()) {
        pass.start = Start{entry->ticket.id, *std::move(place), false};
        return entry;
      }
      known[entry->shape].no_room = true;
      if (CouldFit(fleet, request, Assume::kFreed)) return entry;
      known[entry->shape].hopeless = true;
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

}  // namespace

Pass RunPass(const Fleet& fleet, const WaitingQueue& queue, const Ledger& ledger, Nanos now,
             const PassOptions& options) {
  Pass pass;
  Order order(queue, ledger, options.share_now.value_or(now));
  std::vector<Known> known(queue.shapes());
  const WaitingQueue::Entry* first = FindFirst(fleet, order, known, pass);
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
    pass.start = TryBehind(fleet, ticket, over_in_time, outside, known[entry->shape]);
    if (!pass.start.has_value()) continue;
    if (!options.preempt || promise.KeptBeside(ticket, pass.start->place)) break;
    // Elsewhere, if there is room.
    pass.start = TryBehind(fleet, ticket, false, outside, known[entry->shape]);
    if (pass.start.has_value() && promise.KeptBeside(ticket, pass.start->place)) break;
    pass.start.reset();
  }
  return pass;
}

}  // namespace rackmark::plan
