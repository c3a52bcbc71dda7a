#include "coordinator/core/budget.h"

#include <algorithm>
#include <cmath>

#include "coordinator/core/observe.h"
#include "coordinator/core/timers.h"

namespace rackmark {
namespace {

constexpr double kNanosMax = 3e17;  // ten years: more is for ever

Nanos Rounded(double ns) {
  if (!(ns > 0)) return 0;
  return static_cast<Nanos>(std::ceil(std::min(ns, kNanosMax)));
}

struct Used {
  Nanos wall = 0;
  double node_ns = 0;
};

Used UsedBy(const State& state, const JobState& job, Nanos now) {
  Used used{job.held, job.node_seconds * static_cast<double>(kSecond)};
  for (const LeaseId id : job.leases) {
    const LeaseState& lease = state.hard.leases.at(id);
    const Nanos held = std::max<Nanos>(0, now - LeaseClock(state, lease).since);
    const auto nodes = static_cast<double>(NodesOf(lease.placement).size());
    used.wall += held;
    used.node_ns += static_cast<double>(held) * nodes;
  }
  return used;
}

double LimitOf(const v1::Budget& budget) {
  return budget.node_seconds() * static_cast<double>(kSecond);
}

}  // namespace

std::optional<v1::Failure> OverBudget(const State& state, const JobState& job, Nanos now) {
  if (!job.job.spec().has_budget()) return std::nullopt;
  const v1::Budget& budget = job.job.spec().budget();
  const Used used = UsedBy(state, job, now);
  v1::Failure failure;
  failure.set_kind(v1::FAILURE_KIND_BUDGET);
  if (budget.has_wall_ns() && used.wall >= budget.wall_ns()) {
    failure.set_detail(absl::StrCat("it has had devices for ", FormatDuration(used.wall),
                                    ", and its budget.wall is ", FormatDuration(budget.wall_ns())));
    return failure;
  }
  // Sums of such figures are not exact, and both must say the same of when it is over.
  const std::optional<Nanos> end = BudgetEnd(state, job);
  const bool ended = end.has_value() && now >= *end;
  if (budget.has_node_seconds() && (ended || used.node_ns + 1 > LimitOf(budget))) {
    failure.set_detail(absl::StrCat("it has had nodes for ", FormatDuration(Rounded(used.node_ns)),
                                    " in all, and its budget.node_seconds is ",
                                    budget.node_seconds()));
    return failure;
  }
  return std::nullopt;
}

std::optional<Nanos> BudgetEnd(const State& state, const JobState& job) {
  if (!job.job.spec().has_budget() || job.leases.empty()) return std::nullopt;
  const v1::Budget& budget = job.job.spec().budget();
  // Of the stamps alone, so that it is the same whenever it is asked.
  Nanos wall = budget.wall_ns() - job.held;
  double node_ns = LimitOf(budget) - job.node_seconds * static_cast<double>(kSecond);
  double nodes = 0;
  for (const LeaseId id : job.leases) {
    const LeaseState& lease = state.hard.leases.at(id);
    const Nanos since = LeaseClock(state, lease).since;
    const auto count = static_cast<double>(NodesOf(lease.placement).size());
    wall += since;
    node_ns += count * static_cast<double>(since);
    nodes += count;
  }
  const auto leases = static_cast<Nanos>(job.leases.size());
  std::optional<Nanos> end;
  if (budget.has_wall_ns()) end = (wall + leases - 1) / leases;
  if (budget.has_node_seconds()) {
    const Nanos at = Rounded(node_ns / std::max(1.0, nodes));
    end = std::min(end.value_or(at), at);
  }
  return end;
}

std::optional<Nanos> BudgetLeft(const JobState& job, uint32_t nodes) {
  if (!job.job.spec().has_budget()) return std::nullopt;
  const v1::Budget& budget = job.job.spec().budget();
  std::optional<Nanos> left;
  if (budget.has_wall_ns()) left = std::max<Nanos>(0, budget.wall_ns() - job.held);
  if (budget.has_node_seconds()) {
    const double node_ns = LimitOf(budget) - job.node_seconds * static_cast<double>(kSecond);
    const Nanos at_most = Rounded(node_ns / std::max(1u, nodes));
    left = std::min(left.value_or(at_most), at_most);
  }
  return left;
}

}  // namespace rackmark
