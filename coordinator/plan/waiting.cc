#include "coordinator/plan/waiting.h"

#include <algorithm>
#include <tuple>

namespace rackmark::plan {

WaitingQueue::WaitingQueue(const WaitingQueue& other) {
  for (const auto& [id, entry] : other.entries_) Add(entry.ticket);
}

void WaitingQueue::Add(const Ticket& ticket) {
  Remove(ticket.id);
  const auto [shape, fresh] = shape_ids_.try_emplace(ticket.request, shapes());
  if (fresh && !free_shapes_.empty()) {
    shape->second = free_shapes_.back();
    free_shapes_.pop_back();
  } else if (fresh) {
    shape_uses_.push_back(0);
    hopeless_at_.push_back(0);
  }
  if (fresh) hopeless_at_[shape->second] = 0;
  ++shape_uses_[shape->second];
  const auto at = entries_.emplace(ticket.id, Entry{ticket, shape->second}).first;
  by_priority_[ticket.priority][ticket.owner].emplace(std::pair{ticket.submitted, ticket.id},
                                                      &at->second);
}

void WaitingQueue::Remove(TicketId id) {
  const auto at = entries_.find(id);
  if (at == entries_.end()) return;
  const Ticket& ticket = at->second.ticket;
  const auto level = by_priority_.find(ticket.priority);
  const auto line = level->second.find(ticket.owner);
  line->second.erase({ticket.submitted, id});
  if (line->second.empty()) level->second.erase(line);
  if (level->second.empty()) by_priority_.erase(level);
  if (--shape_uses_[at->second.shape] == 0) {
    free_shapes_.push_back(at->second.shape);
    shape_ids_.erase(ticket.request);
  }
  entries_.erase(at);
}

const WaitingQueue::Entry* WaitingQueue::Find(TicketId id) const {
  const auto at = entries_.find(id);
  return at == entries_.end() ? nullptr : &at->second;
}

bool Order::Runner::operator>(const Runner& other) const {
  return std::tie(share, next->first) > std::tie(other.share, other.next->first);
}

Order::Order(const WaitingQueue& queue, const Ledger& ledger, Nanos now)
    : queue_(queue), ledger_(ledger), now_(now), level_(queue.by_priority().begin()) {
  Enter();
}

void Order::Enter() {
  if (level_ == queue_.by_priority().end()) return;
  for (const auto& [owner, line] : level_->second) {
    Runner runner;
    const auto listed = listed_.find(owner);
    runner.share = ledger_.ShareOf(owner, now_) + (listed == listed_.end() ? 0 : listed->second);
    runner.line = &line;
    runner.next = line.begin();
    runner.owner = &owner;
    heap_.push_back(runner);
  }
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  ++level_;
}

const WaitingQueue::Entry* Order::Next() {
  if (last_.has_value()) {
    last_->share += last_cost_;
    listed_[*last_->owner] += last_cost_;
    if (++last_->next != last_->line->end()) {
      heap_.push_back(*last_);
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    }
    last_.reset();
  }
  if (heap_.empty()) Enter();
  if (heap_.empty()) return nullptr;
  std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
  last_ = heap_.back();
  heap_.pop_back();
  const WaitingQueue::Entry* entry = last_->next->second;
  last_cost_ = CostOf(entry->ticket.request.devices, entry->ticket.budget.value_or(kBudgetUnknown));
  return entry;
}

void Order::TakeBack() { last_cost_ = 0; }

}  // namespace rackmark::plan
