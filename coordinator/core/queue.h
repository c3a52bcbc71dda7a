// The queue of jobs that want a gang, as plan orders it: one look at it, and what people read of
// it. Pure reads of State; the planner must be up to date (RefreshPlanner).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/state.h"
#include "coordinator/plan/pass.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

// Has runs to do and no lease to do them on, and no window of its schedule is closed to it.
bool WantsGang(const State& state, const JobState& job);
// It would, but for such a window: "waits for the end of maintenance ...". Else empty.
std::string ClosedReason(const State& state, const JobState& job);

// What plan says of the queue now, and the events that carry it out: one gang that is placed, or
// leases that are told to make room. None: all wait.
struct QueueLook {
  plan::Pass pass;
  std::vector<v1::Event> events;
};
QueueLook LookAtQueue(const State& state);

// So many looks may be in vain within so long a time; then the next one waits for the end of it.
// When ten thousand workers come back at once, each of them might have room for somebody.
constexpr uint32_t kVainLooksMax = 12;
constexpr Nanos kVainLooksWithin = 40 * kMillisecond;
bool MayLook(Planner& planner, Nanos now);

// Jobs that wait before this one, in order; missing if it does not wait.
std::optional<std::vector<JobId>> WaitingAhead(const State& state, JobId job);

// Why a queued job has no gang: sentences with counts. Empty if it is not waiting.
std::vector<std::string> WaitingReasons(const State& state, JobId job);

}  // namespace rackmark
