// Schedules in State: made, changed and removed by people, asked what is due by every turn. The
// rules are room coordinator/schedule's; here they meet the log. An instant is decided by the event
// that also submits its job, so it begins once, whoever leads. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/command.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/state.h"
#include "coordinator/schedule/decide.h"
#include "rackmark/v1/event.pb.h"

namespace rackmark {

constexpr size_t kSchedulesMax = 256;

absl::StatusOr<Decision> DecideApplySchedule(const State& state, const ApplySchedule& command,
                                             Now now);
absl::StatusOr<Decision> DecideRemoveSchedule(const State& state, const RemoveSchedule& command);

// What is due of all schedules that are to be asked: groups of events that stand by themselves.
void StepSchedules(const State& state, Now now, std::vector<v1::Event>& events);

// What of one is due now; missing if this machine cannot say.
std::optional<schedule::Decision> AskSchedule(const State& state, const ScheduleState& schedule,
                                              Now now);
// Why an instant that is due waits, for people. Empty: none does.
std::string HeldSentence(const State& state, const ScheduleState& schedule, Now now);

// Whether a job of a schedule may be placed now, by the windows of that schedule: its own estimate
// must fit before the next one. Missing if no window is asked: it may.
struct Closure {
  bool closed = false;
  Nanos until = 0;  // by Now::wall: then the answer is another one
};
std::optional<Closure> ClosureOf(const State& state, const JobState& job);
// "the end of maintenance, until ..."; empty if it may be placed.
std::string ClosureText(const State& state, const JobState& job);

// Soft. A schedule was set or removed, or all are read anew (a new leadership).
void TrackSchedule(State& state, ScheduleId id);
void TrackSchedules(State& state);
// Soft, when a turn is at rest: when those that were asked are to be asked again.
void RestSchedules(State& state, Now now);

// By Now::monotonic; missing if nothing will ever be due by itself.
std::optional<Nanos> ScheduleDeadline(const State& state, ScheduleId id);

// Ended jobs that the history limits of their schedules let go of, ascending.
std::vector<JobId> BeyondHistory(const State& state);

}  // namespace rackmark
