// The queue: gangs that wait, and the order in which they are asked. Higher priority first; within
// a priority the owner who has had least (share.h), and of one owner the oldest. Each that is
// listed counts as used for those after it, so that owners alternate. One owner, one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "common/time.h"
#include "coordinator/plan/gang.h"
#include "coordinator/plan/share.h"

namespace rackmark::plan {

// Whatever the caller has that waits for a gang.
using TicketId = Id<struct TicketTag>;

struct Ticket {
  TicketId id;
  std::string owner;
  int32_t priority = 0;
  Nanos submitted = 0;
  std::optional<Nanos> budget;  // how long it would hold its gang at most; missing = nobody can say
  bool preemptible = false;     // its lease would be, at once or some time
  GangRequest request;
};

// Counts for fairness where a ticket has no budget.
constexpr Nanos kBudgetUnknown = 3600 * kSecond;

class WaitingQueue {
 public:
  struct Entry {
    Ticket ticket;
    uint32_t shape = 0;  // equal for equal requests; below shapes()
  };
  using Line = std::map<std::pair<Nanos, TicketId>, const Entry*>;  // of one owner, oldest first
  using Lines = std::map<std::string, Line>;                        // of one priority

  WaitingQueue() = default;
  WaitingQueue(const WaitingQueue& other);  // its lines point to entries of its own
  WaitingQueue(WaitingQueue&&) = default;
  WaitingQueue& operator=(WaitingQueue&&) = default;
  WaitingQueue& operator=(const WaitingQueue& other) { return *this = WaitingQueue(other); }

  void Add(const Ticket& ticket);  // a known id is replaced
  void Remove(TicketId id);
  const Entry* Find(TicketId id) const;
  size_t size() const { return entries_.size(); }
  uint32_t shapes() const { return static_cast<uint32_t>(shape_uses_.size()); }
  const std::map<int32_t, Lines, std::greater<>>& by_priority() const { return by_priority_; }

  // What one look at the queue found, for the next ones: as of this version of the fleet's facts
  // (Fleet::facts_version; always of the same fleet) the shape would not fit if all leases were
  // over. Changes no answer.
  bool IsHopeless(uint32_t shape, uint64_t facts_version) const {
    return hopeless_at_[shape] == facts_version;
  }
  void NoteHopeless(uint32_t shape, uint64_t facts_version) const {
    hopeless_at_[shape] = facts_version;
  }

 private:
  std::map<TicketId, Entry> entries_;
  std::map<int32_t, Lines, std::greater<>> by_priority_;
  std::map<GangRequest, uint32_t> shape_ids_;
  std::vector<uint32_t> shape_uses_;  // by shape
  std::vector<uint32_t> free_shapes_;
  mutable std::vector<uint64_t> hopeless_at_;  // by shape; 0 = never
};

// Lists a queue in order. The queue and the ledger must stay as they are meanwhile.
class Order {
 public:
  Order(const WaitingQueue& queue, const Ledger& ledger, Nanos now);
  const WaitingQueue::Entry* Next();  // nullptr at the end
  void TakeBack();                    // the last one listed does not count as used after all

 private:
  struct Runner {  // an owner's place in the line of one priority
    uint64_t share = 0;
    const WaitingQueue::Line* line = nullptr;
    WaitingQueue::Line::const_iterator next;
    const std::string* owner = nullptr;
    bool operator>(const Runner& other) const;
  };
  void Enter();  // the next priority

  const WaitingQueue& queue_;
  const Ledger& ledger_;
  const Nanos now_;
  std::map<int32_t, WaitingQueue::Lines, std::greater<>>::const_iterator level_;
  std::vector<Runner> heap_;
  std::map<std::string, uint64_t> listed_;  // cost by owner
  std::optional<Runner> last_;              // not yet back in the heap
  uint64_t last_cost_ = 0;
};

}  // namespace rackmark::plan
