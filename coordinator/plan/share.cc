#include "coordinator/plan/share.h"

#include <algorithm>

#include "common/status.h"

namespace rackmark::plan {
namespace {

constexpr int kStepsPerHalf = 16;
constexpr uint64_t kStepFactor = 62757;  // 65536 * 2^(-1/16)

}  // namespace

uint64_t CostOf(uint32_t devices, Nanos duration) {
  return devices * static_cast<uint64_t>(std::max<Nanos>(0, duration) / kMillisecond);
}

Ledger::Ledger(Nanos half_life) : step_(std::max<Nanos>(1, half_life / kStepsPerHalf)) {}

uint64_t Ledger::Decayed(const Entry& entry, int64_t tick) const {
  const int64_t steps = std::max<int64_t>(0, tick - entry.tick);
  if (steps / kStepsPerHalf >= 64) return 0;
  uint64_t used = entry.used >> (steps / kStepsPerHalf);
  // High and low half apart: their product with the factor must not overflow.
  for (int64_t i = 0; i < steps % kStepsPerHalf; ++i) {
    used = (used >> 16) * kStepFactor + (((used & 0xffff) * kStepFactor) >> 16);
  }
  return used;
}

void Ledger::Start(const std::string& owner, uint64_t budget_cost) {
  entries_[owner].committed += budget_cost;
}

void Ledger::End(const std::string& owner, uint64_t budget_cost, uint64_t used_cost, Nanos now) {
  Entry& entry = entries_[owner];
  RACKMARK_CHECK(entry.committed >= budget_cost);
  entry.committed -= budget_cost;
  // Not before the last one, but for a clock that was wrong: else nothing would decay until then.
  const int64_t tick = now / step_;
  entry.used = Decayed(entry, tick) + used_cost;
  entry.tick = tick;
}

uint64_t Ledger::ShareOf(const std::string& owner, Nanos now) const {
  const auto at = entries_.find(owner);
  if (at == entries_.end()) return 0;
  return at->second.committed + Decayed(at->second, now / step_);
}

void Ledger::Prune(Nanos now) {
  for (auto at = entries_.begin(); at != entries_.end();) {
    const bool gone = at->second.committed == 0 && Decayed(at->second, now / step_) == 0;
    at = gone ? entries_.erase(at) : std::next(at);
  }
}

}  // namespace rackmark::plan
