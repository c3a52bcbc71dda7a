#include "coordinator/plan/preempt.h"

#include <algorithm>
#include <utility>

#include "coordinator/plan/victims.h"
#include "coordinator/plan/what_if.h"

namespace rackmark::plan {
namespace {

// A pool in which any of the candidates may be supposed to have ended.
class Trial {
 public:
  Trial(const Fleet& fleet, const GangRequest& request, const Candidates& candidates, Pool& pool)
      : fleet_(fleet), request_(request), candidates_(candidates), pool_(pool) {}

  bool Fits() const { return FindSite(pool_, request_).has_value(); }
  void End(size_t first, size_t last, bool ended) {
    for (size_t i = first; i < last; ++i) {
      SupposeEnded(fleet_, candidates_.slots[i], ended, pool_);
    }
  }
  // The fewest first candidates that are enough; they have ended then.
  // REQUIRES: [0, n) have ended, and it fits.
  size_t ShortestPrefix(size_t n) {
    size_t below = 0;
    size_t above = n;
    size_t at = n;
    while (above - below > 1) {
      const size_t middle = below + (above - below) / 2;
      Move(at, middle);
      at = middle;
      (Fits() ? above : below) = middle;
    }
    Move(at, above);
    return above;
  }
  // What is left of a set, in rank order, when whoever can be spared is. None of it has ended,
  // before and after.
  std::vector<uint32_t> Spared(std::vector<uint32_t> ranks) {
    for (const uint32_t rank : ranks) End(rank, rank + 1, true);
    for (size_t i = ranks.size(); i > 0; --i) {
      const uint32_t rank = ranks[i - 1];
      End(rank, rank + 1, false);
      if (Fits()) {
        ranks.erase(ranks.begin() + static_cast<std::ptrdiff_t>(i - 1));
      } else {
        End(rank, rank + 1, true);
      }
    }
    for (const uint32_t rank : ranks) End(rank, rank + 1, false);
    return ranks;
  }
  // Spares whom it can in [first, last), the last first, and adds the others to `victims`. By
  // halves, which spares the same ones as one by one would: whoever fits without many fits without
  // each of them.
  void Spare(size_t first, size_t last, std::vector<uint32_t>& victims) {
    if (first == last) return;
    End(first, last, false);
    if (Fits()) return;
    End(first, last, true);
    if (last - first == 1) {
      victims.push_back(static_cast<uint32_t>(first));
      return;
    }
    const size_t middle = first + (last - first) / 2;
    Spare(middle, last, victims);
    Spare(first, middle, victims);
  }

 private:
  void Move(size_t from, size_t to) {
    if (from < to) End(from, to, true);
    if (to < from) End(to, from, false);
  }

  const Fleet& fleet_;
  const GangRequest& request_;
  const Candidates& candidates_;
  Pool& pool_;
};

// How many candidates there are up to the lowest priority at which ending all of them is enough; 0
// if it never is. They have ended then.
size_t EndByPriority(const Fleet& fleet, const Candidates& candidates, Trial& trial) {
  const auto priority = [&](size_t i) {
    return fleet.leases()[candidates.slots[i]].facts.priority;
  };
  const size_t size = candidates.slots.size();
  for (size_t n = 0; n < size;) {
    size_t last = n + 1;
    while (last < size && priority(last) == priority(n)) ++last;
    trial.End(n, last, true);
    n = last;
    if (trial.Fits()) return n;
  }
  return 0;
}

}  // namespace

Pool YieldedPool(const Fleet& fleet, const Selector& selector) {
  Pool pool = fleet.PoolOf(selector, Assume::kNow);
  for (uint32_t slot = 0; slot < fleet.leases().size(); ++slot) {
    if (fleet.leases()[slot].facts.yielding) SupposeEnded(fleet, slot, true, pool);
  }
  return pool;
}

std::vector<LeaseId> ChooseVictims(const Fleet& fleet, const GangRequest& request,
                                   int32_t priority) {
  Candidates candidates = CandidatesBelow(fleet, priority);
  if (candidates.slots.empty()) return {};
  Pool pool = YieldedPool(fleet, request.selector);
  Trial trial(fleet, request, candidates, pool);
  if (trial.Fits()) return {};
  const size_t enough = EndByPriority(fleet, candidates, trial);
  if (enough == 0) return {};
  candidates.Keep(enough);
  trial.End(0, enough, false);
  std::vector<uint32_t> victims = VictimsInOneIsland(fleet, pool, request, candidates);
  if (victims.empty() || WidestOf(request) >= Within::kRack) {
    // With fewer it may fit elsewhere, over several islands.
    if (!victims.empty()) victims = trial.Spared(std::move(victims));
    std::vector<uint32_t> anywhere;
    trial.End(0, enough, true);
    trial.Spare(0, trial.ShortestPrefix(enough), anywhere);
    if (Better(fleet, candidates, anywhere, victims)) victims = anywhere;
  }
  std::vector<LeaseId> ids;
  for (const uint32_t i : victims) ids.push_back(fleet.leases()[candidates.slots[i]].facts.id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace rackmark::plan
