// Who has had how much of the fleet: the measure of fairness between owners. One owner, one thread;
// time is an argument, of any one clock. All integers, so that a replay gives the same order.
//
// Why decayed usage and not the running share: a gang may need the whole fleet, and then nobody
// runs when the next is chosen. Running shares would all be 0, and an owner who queued 100 such
// gangs first would keep everybody else waiting for all of them. Running leases count, too: with
// their whole budget from the start, and with what they really used once they have ended. So an
// owner cannot take all free devices at once before a first second has passed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "common/time.h"

namespace rackmark::plan {

// Of a lease: device-milliseconds.
uint64_t CostOf(uint32_t devices, Nanos duration);

class Ledger {
 public:
  struct Entry {
    uint64_t used = 0;       // device-milliseconds of ended leases, decayed up to `tick`
    uint64_t committed = 0;  // of running ones, by budget
    int64_t tick = 0;
  };

  // What was used counts half after `half_life`, in sixteen even steps.
  explicit Ledger(Nanos half_life);

  void Start(const std::string& owner, uint64_t budget_cost);
  void End(const std::string& owner, uint64_t budget_cost, uint64_t used_cost, Nanos now);
  uint64_t ShareOf(const std::string& owner, Nanos now) const;

  // Forgets owners of whom nothing is left.
  void Prune(Nanos now);
  // For whoever saves and loads them.
  const std::map<std::string, Entry>& entries() const { return entries_; }
  void Restore(const std::string& owner, const Entry& entry) { entries_[owner] = entry; }

 private:
  uint64_t Decayed(const Entry& entry, int64_t tick) const;

  Nanos step_;
  std::map<std::string, Entry> entries_;
};

}  // namespace rackmark::plan
